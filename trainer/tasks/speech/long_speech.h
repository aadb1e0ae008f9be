// Recordings of any length: computed in windows, so that memory does not grow with what a model keeps of each second.
#pragma once

#include <cstdint>
#include <span>

#include "trainer/tasks/speech/speech_task.h"
#include "trainer/tasks/speech/transcript.h"

namespace rehearse {

// Logits of all frames of one recording, mono at SpeechTask::kSampleRateHz and of at least a tenth of a second. Windows
// are put together by append_window. Call it without gradients.
Logits logits_of(SpeechTask& task, std::span<const float> samples, const WindowOptions& options);

}  // namespace rehearse
