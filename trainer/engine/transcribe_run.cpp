#include "trainer/engine/transcribe_run.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <map>

#include "data/readers/audio_reader.h"
#include "trainer/base/safetensors.h"
#include "trainer/engine/checkpoint_report.h"
#include "trainer/engine/recognizer.h"
#include "trainer/engine/transcript.h"

namespace rehearse {
namespace {

constexpr int kRateHz = Recognizer::kSampleRateHz;
constexpr size_t kFewestSamples = kRateHz / 10;  // shorter files are padded with silence

// As training hears it: 16 bits.
std::vector<float> read_file(const AudioReaders& readers, const std::string& path) {
  std::vector<float> samples = readers.read(path, 0, 0, kRateHz);
  for (float& sample : samples) sample = std::clamp(std::nearbyint(sample * 32768.0f), -32768.0f, 32767.0f) / 32768.0f;
  return samples;
}

class Transcriber {
 public:
  Transcriber(const TranscribeRequest& request, Recognizer& recognizer)
      : request_(request),
        recognizer_(recognizer),
        frame_s_(recognizer.task().seconds_per_frame()),
        blank_(recognizer.tokenizer().size()) {}

  // Samples of one recording to logits of all its frames.
  Logits logits_of(const std::vector<float>& samples) {
    const double duration_s = static_cast<double>(samples.size()) / kRateHz;
    if (duration_s <= request_.window_s) return window_logits(samples.data(), samples.size());
    const auto frames_of = [this](double seconds) { return std::max<int64_t>(1, std::llround(seconds / frame_s_)); };
    const int64_t context = frames_of(request_.context_s);
    const int64_t window = std::max(frames_of(request_.window_s), 2 * context + 1);
    const auto num_frames = static_cast<int64_t>(std::ceil(duration_s / frame_s_));
    Logits whole;
    for (const Window& one : plan_windows(num_frames, window, context)) {
      const size_t begin = sample_at(one.first_frame);
      const size_t end = std::min(samples.size(), sample_at(one.first_frame + one.length));
      append_window(whole, window_logits(samples.data() + begin, end - begin), one.first_frame, blank_);
    }
    return whole;
  }

  int32_t blank() const { return blank_; }
  double seconds_per_frame() const { return frame_s_; }

 private:
  size_t sample_at(int64_t frame) const {
    return static_cast<size_t>(std::llround(static_cast<double>(frame) * frame_s_ * kRateHz));
  }

  Logits window_logits(const float* samples, size_t count) {
    LoadedBatch batch;
    batch.samples.assign(samples, samples + count);
    batch.samples.resize(std::max(count, kFewestSamples));
    batch.max_samples = static_cast<int64_t>(batch.samples.size());
    batch.num_samples = {batch.max_samples};
    batch.utterances = {0};
    batch.ids = {0};
    batch.draws.resize(1);
    batch.positions = {0};
    batch.tokens.resize(1);
    batch.weights = {0};
    batch.failures.resize(1);
    ForwardContext context;
    context.ids = batch.ids;
    const TaskOutput output = recognizer_.task().forward(batch, context);
    const at::Tensor rows = output.logits.x.select(0, 0).contiguous();  // [T', V]
    Logits logits{output.logits.lengths.at(0), rows.size(1), {}};
    logits.values.assign(rows.data_ptr<float>(), rows.data_ptr<float>() + logits.frames * logits.classes);
    return logits;
  }

  const TranscribeRequest& request_;
  Recognizer& recognizer_;
  double frame_s_;
  int32_t blank_;  // behind the last token
};

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void write_logits(const std::string& path, const std::map<std::string, Logits>& all) {
  std::map<std::string, TensorView> views;
  for (const auto& [name, logits] : all)
    views[name] = {"F32", {logits.frames, logits.classes}, std::as_bytes(std::span(logits.values))};
  FileLayer files;
  write_safetensors(files, path, views);
}

void expect_distinct_names(const TranscribeRequest& request) {
  std::map<std::string, std::string> paths;
  for (const std::string& file : request.files)
    if (const auto [found, is_new] = paths.emplace(fs::path(file).filename().string(), file); !is_new)
      throw ConfigError("--logits: expected files with different names; found ", found->second, " and ", file,
                        "; write their logits in two calls");
}

int transcribe_all(const TranscribeRequest& request, Recognizer& recognizer) {
  const at::NoGradGuard no_gradients;
  const AudioReaders readers;
  Transcriber transcriber(request, recognizer);
  std::map<std::string, Logits> kept;
  int code = kExitOk;
  for (const std::string& path : request.files) {
    const double start = now_s();
    std::vector<float> samples;
    try {
      samples = read_file(readers, path);
    } catch (const DataError& failure) {
      std::cerr << "rehearse: " << failure.what() << "\n";
      code = kExitData;
      continue;
    }
    const double duration_s = static_cast<double>(samples.size()) / kRateHz;
    Logits logits = transcriber.logits_of(samples);
    const auto tokens = greedy_tokens(logits, transcriber.blank(), transcriber.seconds_per_frame());
    if (request.as_json)
      std::cout << transcript_json(path, duration_s, tokens, recognizer.tokenizer()).dump() << std::endl;
    else
      std::cout << path << "\t" << text_of(tokens, recognizer.tokenizer()) << std::endl;
    const double took_s = now_s() - start;
    char speed[96];
    std::snprintf(speed, sizeof speed, "%.2f s of audio in %.3f s, real-time factor %.4f", duration_s, took_s,
                  took_s / duration_s);
    std::cerr << path << ": " << speed << "\n";
    if (!request.logits_path.empty()) kept[fs::path(path).filename().string()] = std::move(logits);
  }
  if (!request.logits_path.empty()) write_logits(request.logits_path, kept);
  return code;
}

}  // namespace

int transcribe(const TranscribeRequest& request) {
  expect_writable("--logits", request.logits_path);
  if (!request.logits_path.empty()) expect_distinct_names(request);
  if (request.window_s <= 2 * request.context_s)
    throw ConfigError("--window: expected more than twice --context (", 2 * request.context_s, " s); found ",
                      request.window_s);
  const LoadedCheckpoint checkpoint = load_checkpoint(choose_checkpoint(request.checkpoint, request.step), false);
  const auto recognizer = Recognizer::from_checkpoint(checkpoint);
  return transcribe_all(request, *recognizer);
}

}  // namespace rehearse
