// What is said in each domain: grammars over lower-case words, numbers spelled as spoken.
#pragma once

namespace rehearse::synth {

// Numbers, dates, clock times, prices and names that several domains share; no "sentence" of its own.
extern const char* const kSharedRules;
extern const char* const kStudioRules;
extern const char* const kPhoneRules;
extern const char* const kRadioRules;
extern const char* const kCrowdRules;
extern const char* const kDriveRules;  // well over 100 words that no other domain says

}  // namespace rehearse::synth
