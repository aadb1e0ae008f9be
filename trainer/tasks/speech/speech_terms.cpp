// What speech calls its figures.
#include "trainer/observe/terms.h"
#include "trainer/tasks/speech/speech_sums.h"

namespace rehearse {
namespace {

using Sums = SpeechSums;
using Score = SpeechScore;

TaskTerms speech_terms() {
  TaskTerms terms;
  terms.task = "ctc";
  terms.example = "utterance";
  terms.examples = "utterances";
  terms.name_key = "audio_filepath";
  terms.error_key = "cer";
  terms.drawn_cost_key = "seconds";
  terms.error_title = "CER";
  terms.loss_key = "loss_per_token";
  terms.loss_title = "loss/token";
  terms.loss_hint = "per target token";
  terms.loss_phase = "ctc";
  terms.loss_phase_title = "CTC";
  terms.cost_key = "audio_s";
  terms.speed_title = "audio-s/s";
  terms.speed_hint = "seconds of audio per second";
  terms.speed_word = "real time";
  terms.speed_unit = " ×";
  terms.size_key = terms.size_title = "hours";
  terms.run_size_key = "audio_hours";
  terms.size_unit = "h of audio";
  terms.size_mark = "h";
  terms.quarantine_verb = "quarantine";
  terms.size_per_cost = 1.0 / 3600;
  terms.size_digits = 3;
  terms.ratios = {{"cer", "CER", Sums::kEdits, Sums::kReferenceLength, /*is_in_line=*/true},
                  {"blank_share", "blank frames", Sums::kBlankFrames, Sums::kFrames}};
  terms.scores = {{"cer", "CER", Score::kEdits, Score::kLength, true, "edits", "length", "Σ edits / Σ length"},
                  {"wer", "WER", Score::kWordEdits, Score::kWords, true, "", "", "Σ edits / Σ words"}};
  terms.counts = {{"substitutions", "sub", Score::kSubstitutions},
                  {"deletions", "del", Score::kDeletions},
                  {"insertions", "ins", Score::kInsertions},
                  {"reference_length", "", Score::kLength}};
  terms.counts_hint = "sub, del, ins count characters. ";
  terms.failures_title = "audio that could not be read, all of it counted as deleted";
  terms.infeasible_note =
      "expected at least as many output frames as its text needs; found fewer in this draw, which teaches nothing;"
      " such draws are counted as \"infeasible\"; lower the speed in data.augment or the stride of the model";
  return terms;
}

REHEARSE_TERMS(speech_terms);

}  // namespace
}  // namespace rehearse
