#include "data/speech/audio/audio_problem.h"

#include "data/speech/import/rejected_source.h"
#include "data/speech/missing_audio.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

constexpr int kRateHz = 16000;

}  // namespace

std::string audio_problem(const AudioReaders& readers, const Utterance& utterance) {
  const std::string& path = utterance.audio_path;
  try {
    const HeardAudio heard = readers.hear(
        path, {utterance.offset_s, utterance.duration_s, utterance.channel.value_or(kAllChannels)}, kRateHz);
    const double found_s = static_cast<double>(heard.samples.size()) / kRateHz;
    if (is_missing(utterance.duration_s, found_s))
      return concat("truncated: expected ", utterance.duration_s, " s; found ", found_s, " s",
                    heard.complaint.empty() ? std::string() : "; the file is " + heard.complaint);
    return heard.remarks.empty() ? "" : heard.remarks.front();
  } catch (const DataError& failure) {
    const std::string reason = reason_without_path(path, failure.what());
    return (reason.find("NaN") != std::string::npos ? "not finite: " : "unreadable: ") + reason;
  }
}

}  // namespace rehearse
