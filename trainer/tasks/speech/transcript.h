// From the logits of overlapping windows to text with times.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/text/tokenizer.h"

namespace rehearse {

struct WindowOptions {
  double window_s = 20;  // computed at once; longer recordings are cut into windows that overlap
  double context_s = 2;  // what a window hears beyond what it decides, on each side
};

// A part of a recording, in output frames; `length` is a wish, the model may give a frame more or less.
struct Window {
  int64_t first_frame = 0;
  int64_t length = 0;
};

// Windows of at most window_frames that overlap by twice context_frames and cover num_frames; one window when they fit.
std::vector<Window> plan_windows(int64_t num_frames, int64_t window_frames, int64_t context_frames);

// Logits of consecutive frames, row-major.
struct Logits {
  int64_t frames = 0;
  int64_t classes = 0;
  std::vector<float> values;  // [frames, classes]
  const float* row(int64_t frame) const { return values.data() + frame * classes; }
};

// Best class of a frame, the first among equals.
int32_t best_class(const Logits& logits, int64_t frame);

// Appends `next`, whose first frame is first_frame of the whole. In the overlap one frame is the seam: what lies before
// comes from the left window, the rest from the right one. It is the frame nearest to the middle around which both say
// blank, so that no token is cut or counted twice; without one the middle itself.
void append_window(Logits& whole, const Logits& next, int64_t first_frame, int32_t blank);

struct TimedToken {
  int32_t token = 0;
  double start_s = 0;  // of its first frame
  double end_s = 0;    // of the end of its last frame
};
struct TimedWord {
  std::string text;
  double start_s = 0;
  double end_s = 0;
};

// Greedy: best class per frame, repeats collapsed, blanks removed.
std::vector<TimedToken> greedy_tokens(const Logits& logits, int32_t blank, double seconds_per_frame);
std::string text_of(const std::vector<TimedToken>& tokens, const Tokenizer& tokenizer);
std::vector<TimedWord> words_of(const std::vector<TimedToken>& tokens, const Tokenizer& tokenizer);

// {"audio_filepath", "duration", "text", "words": [{"text", "start", "end"}], "tokens": [{"piece", "start", "end"}]}
nlohmann::json transcript_json(const std::string& path, double duration_s, const std::vector<TimedToken>& tokens,
                               const Tokenizer& tokenizer);

}  // namespace rehearse
