#include "tests/support/tiny_run.h"

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "tests/support/toy_run.h"

namespace rehearse {
namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void make(const fs::path& folder) {
  const std::string at = folder.string() + "/";
  write_toy_set(folder, "loud_train.jsonl", "loud", toy_texts(24, 1));
  write_toy_set(folder, "soft_train.jsonl", "soft", toy_texts(24, 2));
  write_toy_set(folder / "v", "soft_valid.jsonl", "soft", toy_texts(5, 4));
  const ProcessResult made =
      run_rehearse({"tokenizer", at + "loud_train.jsonl", "--kind", "char", "--out", at + "characters.txt"});
  if (made.exit_code != 0) throw std::runtime_error("no tokenizer for the tiny run: " + made.err);
  std::ofstream(folder / "config.yaml")
      << "threads: 1\n"
      << "data:\n  train: [" << at << "loud_train.jsonl, " << at << "soft_train.jsonl]\n"
      << "  valid: [" << at << "v/soft_valid.jsonl]\n  tokenizer: " << at << "characters.txt\n"
      << "  augment:\n    - {type: speed, min: 0.9, max: 1.1}\n    - {type: gain, min_db: -6, max_db: 6}\n"
      << "features: {channels: 32, spec_augment: {time_masks: 2, frequency_masks: 1, frequency_width: 5}}\n"
      << "model:\n  blocks:\n    - {type: subsample, channels: 32, factor: 4}\n"
      << "    - {type: separable, channels: 32, kernel: 9, dropout: 0.2}\n"
      << "batch: {seconds: 48, micro_batches: 4}\n"
      << "curriculum: {type: curriculum, max_repeats: 0, lag_steps: 4, window_steps: 2}\n"
      << "optimizer: {lr: 0.02}\n"
      << "budget: {steps: " << kTinySteps << "}\n"
      << "checkpoint: {every_steps: " << kTinySaveEvery << ", every_minutes: 0, keep_last: 3}\n"
      << "comm: {timeout_s: 5, bucket_kb: 4, checksum_every_steps: 20}\n"
      << "log: {every_steps: 1}\n";
  std::vector<std::string> line = {"train", at + "config.yaml", "--set", "run.folder=" + at + "unbroken"};
  const ProcessResult result = run_rehearse_ranks(2, line);
  if (result.exit_code != 0) throw std::runtime_error("the unbroken tiny run failed: " + result.err);
}

}  // namespace

const fs::path& tiny_folder() {
  static const fs::path kFolder = made_once("tiny_run", make);
  return kFolder;
}

std::vector<std::string> tiny_train(const fs::path& run, std::vector<std::string> more) {
  std::vector<std::string> line = {"train", (tiny_folder() / "config.yaml").string(), "--set",
                                   "run.folder=" + run.string()};
  line.insert(line.end(), more.begin(), more.end());
  return line;
}

bool wait_until(double timeout_s, const std::function<bool()>& is_true) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(timeout_s);
  while (!is_true()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

int last_step(const fs::path& run) {
  std::istringstream lines(text_of(run / "metrics.jsonl"));
  int last = -1;
  for (std::string line; std::getline(lines, line);) {
    const std::string mark = "\"step\":";
    const size_t at = line.find(mark);
    if (at != std::string::npos && line.find("\"kind\":\"step\"") != std::string::npos && line.back() == '}')
      last = std::max(last, std::atoi(line.c_str() + at + mark.size()));
  }
  return last;
}

bool wait_for_step(RunningProcess& process, const fs::path& run, int step) {
  return wait_until(60, [&] { return process.is_over() || last_step(run) >= step; }) && last_step(run) >= step;
}

std::string final_bytes(const fs::path& run, const std::string& name) {
  char folder[32];
  std::snprintf(folder, sizeof folder, "step-%08d", kTinySteps);
  const fs::path path = run / "checkpoints" / folder / name;
  if (!fs::exists(path)) throw std::runtime_error(path.string() + " is not there");
  return text_of(path);
}

std::vector<std::string> complaints(const std::string& text) {
  std::istringstream lines(text);
  std::vector<std::string> found;
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("rehearse: ") || line.starts_with("error: ")) found.push_back(line);
  return found;
}

}  // namespace rehearse
