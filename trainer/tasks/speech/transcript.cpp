#include "trainer/tasks/speech/transcript.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

using nlohmann::json;

constexpr int64_t kQuietAround = 2;                // frames before and behind a seam that should be blank as well
constexpr const char* kWordMark = "\xE2\x96\x81";  // "▁", with which sentencepiece begins a word

// Frames are numbered in the whole; the overlap is what both have.
std::optional<int64_t> quiet_seam(const Logits& whole, const Logits& next, int64_t first_frame, int32_t blank,
                                  int64_t quiet_around) {
  const int64_t begin = first_frame, end = std::min(whole.frames, first_frame + next.frames);
  std::vector<bool> is_blank;
  for (int64_t frame = begin; frame < end; ++frame)
    is_blank.push_back(best_class(whole, frame) == blank && best_class(next, frame - first_frame) == blank);
  const auto is_quiet = [&](int64_t frame) {
    if (frame - quiet_around < begin || frame + quiet_around >= end) return false;
    const auto from = is_blank.begin() + (frame - quiet_around - begin);
    return std::all_of(from, from + 2 * quiet_around + 1, [](bool blank_here) { return blank_here; });
  };
  const int64_t middle = begin + (end - begin) / 2;
  for (int64_t distance = 0; distance <= end - begin; ++distance)
    for (const int64_t frame : {middle - distance, middle + distance})
      if (is_quiet(frame)) return frame;
  return std::nullopt;
}

double rounded(double seconds) {
  return std::round(seconds * 1000) / 1000;
}

}  // namespace

std::vector<Window> plan_windows(int64_t num_frames, int64_t window_frames, int64_t context_frames) {
  REHEARSE_CHECK(window_frames > 2 * context_frames, "windows move on by what is not overlap");
  std::vector<Window> windows;
  for (int64_t first = 0;; first += window_frames - 2 * context_frames) {
    windows.push_back({first, std::min(window_frames, num_frames - first)});
    if (first + window_frames >= num_frames) return windows;
  }
}

int32_t best_class(const Logits& logits, int64_t frame) {
  const float* row = logits.row(frame);
  return static_cast<int32_t>(std::max_element(row, row + logits.classes) - row);
}

void append_window(Logits& whole, const Logits& next, int64_t first_frame, int32_t blank) {
  if (whole.frames == 0) {
    whole.frames = next.frames;
    whole.classes = next.classes;
    whole.values.insert(whole.values.end(), next.values.begin(), next.values.end());  // into what is reserved
    return;
  }
  REHEARSE_CHECK(whole.classes == next.classes, "windows come from one model");
  // A model may round a window's length down: frames that nobody computed repeat the last one.
  const std::vector<float> last(whole.row(whole.frames - 1), whole.row(whole.frames - 1) + whole.classes);
  for (; whole.frames < first_frame; ++whole.frames) whole.values.insert(whole.values.end(), last.begin(), last.end());
  const int64_t end = std::min(whole.frames, first_frame + next.frames);
  int64_t seam = first_frame + (end - first_frame) / 2;
  if (const auto quiet = quiet_seam(whole, next, first_frame, blank, kQuietAround))
    seam = *quiet;
  else if (const auto blank_frame = quiet_seam(whole, next, first_frame, blank, 0))
    seam = *blank_frame;
  whole.values.resize(static_cast<size_t>(seam * whole.classes));
  whole.values.insert(whole.values.end(), next.values.begin() + (seam - first_frame) * next.classes, next.values.end());
  whole.frames = first_frame + next.frames;
}

std::vector<TimedToken> greedy_tokens(const Logits& logits, int32_t blank, double seconds_per_frame) {
  std::vector<TimedToken> tokens;
  int32_t previous = blank;
  for (int64_t frame = 0; frame < logits.frames; ++frame) {
    const int32_t best = best_class(logits, frame);
    const double start_s = static_cast<double>(frame) * seconds_per_frame;
    if (best != blank && best != previous) tokens.push_back({best, start_s, start_s});
    if (best != blank) tokens.back().end_s = start_s + seconds_per_frame;
    previous = best;
  }
  return tokens;
}

std::string text_of(const std::vector<TimedToken>& tokens, const Tokenizer& tokenizer) {
  std::vector<int32_t> plain;
  plain.reserve(tokens.size());
  for (const TimedToken& one : tokens) plain.push_back(one.token);
  return tokenizer.decode(plain);
}

std::vector<TimedWord> words_of(const std::vector<TimedToken>& tokens, const Tokenizer& tokenizer) {
  std::vector<TimedWord> words;
  std::vector<TimedToken> open;
  const auto close = [&] {
    std::string text = text_of(open, tokenizer);
    text.erase(0, text.find_first_not_of(' '));
    text.erase(text.find_last_not_of(' ') + 1);
    if (!text.empty()) words.push_back({std::move(text), open.front().start_s, open.back().end_s});
    open.clear();
  };
  for (const TimedToken& one : tokens) {
    const std::string piece = tokenizer.piece(one.token);
    if (piece == " " || piece.starts_with(kWordMark)) close();
    if (piece != " " && piece != kWordMark) open.push_back(one);
  }
  close();
  return words;
}

json transcript_json(const std::string& path, double duration_s, const std::vector<TimedToken>& tokens,
                     const Tokenizer& tokenizer) {
  json words = json::array(), pieces = json::array();
  for (const TimedWord& word : words_of(tokens, tokenizer))
    words.push_back({{"text", word.text}, {"start", rounded(word.start_s)}, {"end", rounded(word.end_s)}});
  for (const TimedToken& one : tokens)
    pieces.push_back(
        {{"piece", tokenizer.piece(one.token)}, {"start", rounded(one.start_s)}, {"end", rounded(one.end_s)}});
  return {{"audio_filepath", path},
          {"duration", rounded(duration_s)},
          {"text", text_of(tokens, tokenizer)},
          {"words", words},
          {"tokens", pieces}};
}

}  // namespace rehearse
