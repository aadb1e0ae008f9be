#include "trainer/tasks/speech/transcribe_run.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <map>

#include "data/speech/audio/audio_reader.h"
#include "data/speech/audio/sound_file.h"
#include "trainer/base/safetensors.h"
#include "trainer/base/text/printable.h"
#include "trainer/checkpoint/checkpoint_report.h"
#include "trainer/device/device.h"
#include "trainer/engine/model.h"
#include "trainer/engine/session.h"
#include "trainer/tasks/speech/long_speech.h"

namespace rehearse {
namespace {

constexpr int kRateHz = SpeechTask::kSampleRateHz;
constexpr size_t kFewestSamples = kRateHz / 10;  // shorter files are padded with silence

// Standard input is a file like others.
std::string opened_as(const std::string& file) {
  return file == "-" ? "/dev/stdin" : file;
}

// As training hears it: 16 bits. What is suspicious about the sound is said on stderr.
std::vector<float> read_file(const AudioReaders& readers, const std::string& path) {
  HeardAudio heard = readers.hear(opened_as(path), {}, kRateHz);
  if (!heard.complaint.empty()) heard.remarks.push_back("this file is " + heard.complaint);
  for (const std::string& remark : heard.remarks)
    std::cerr << concat("rehearse: ", printable(path), ": warning: ", remark, "\n");
  round_to_int16(heard.samples);
  return std::move(heard.samples);
}

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

int transcribe_all(const TranscribeRequest& request, SpeechTask& task) {
  const at::NoGradGuard no_gradients;
  const AudioReaders readers(AudioReader::Context{.reads_pipes = true});
  const int32_t blank = task.tokenizer().size();  // behind the last token
  std::map<std::string, Logits> kept;
  int code = kExitOk;
  for (const std::string& path : request.files) {
    const double start = now_s();
    std::vector<float> samples;
    try {
      samples = read_file(readers, path);
    } catch (const DataError& failure) {
      std::cerr << "rehearse: " << printable(failure.what()) << "\n";
      code = kExitData;
      continue;
    }
    const double duration_s = static_cast<double>(samples.size()) / kRateHz;
    samples.resize(std::max(samples.size(), kFewestSamples));
    Logits logits = logits_of(task, samples, request.windows);
    const auto tokens = greedy_tokens(logits, blank, task.seconds_per_frame());
    const std::string text = text_of(tokens, task.tokenizer());
    if (request.as_json)
      std::cout << transcript_json(path, duration_s, tokens, task.tokenizer()).dump() << std::endl;
    else
      std::cout << printable(path) << "\t" << printable(text) << std::endl;
    if (text.find_first_not_of(' ') == text.npos)
      std::cerr << printable(path) << ": nothing was heard in " << logits.frames
                << " frames; a model that hears nothing in any file has learned nothing\n";
    const double took_s = now_s() - start;
    char speed[96];
    std::snprintf(speed, sizeof speed, "%.2f s of audio in %.3f s, real-time factor %.4f", duration_s, took_s,
                  took_s / duration_s);
    std::cerr << printable(path) << ": " << speed << "\n";
    if (!request.logits_path.empty()) kept[fs::path(path).filename().string()] = std::move(logits);
  }
  if (!request.logits_path.empty()) write_logits(request.logits_path, kept);
  return code;
}

}  // namespace

int transcribe(const TranscribeRequest& request) {
  expect_writable("--logits", request.logits_path);
  if (!request.logits_path.empty()) expect_distinct_names(request);
  if (request.windows.window_s <= 2 * request.windows.context_s)
    throw ConfigError("--window: expected more than twice --context (", 2 * request.windows.context_s, " s); found ",
                      request.windows.window_s);
  const auto prepare = [](const World&, CommOptions& comm) { comm.timeout_s = 1e6; };  // other ranks only wait
  const auto body = [&](World& world, Communicator&) {
    if (world.rank() != 0) return static_cast<int>(kExitOk);
    const Device device = Device::open(request.device, world, /*is_deterministic=*/true);
    at::set_num_threads(device.host_threads(world));
    const LoadedCheckpoint checkpoint = load_checkpoint(choose_checkpoint(request.checkpoint, request.step), false);
    const auto model = Model::from_checkpoint(checkpoint, device.torch());
    model->task().keep_weights();
    return transcribe_all(request, task_as<SpeechTask>(*model, "transcribe"));
  };
  return run_in_world({.body = body, .prepare = prepare});
}

}  // namespace rehearse
