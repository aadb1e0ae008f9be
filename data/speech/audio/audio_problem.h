// What doctor says about one utterance's audio.
#pragma once

#include <string>

#include "data/speech/audio/audio_reader.h"
#include "data/speech/manifest.h"

namespace rehearse {

// "unreadable: …", "truncated: …" and "not finite: …" make it useless; "silent: …", "antiphase: …" and "channels: …"
// are suspicious. "": nothing wrong.
std::string audio_problem(const AudioReaders& readers, const Utterance& utterance);

}  // namespace rehearse
