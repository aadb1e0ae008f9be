#include "tests/support/toy_run.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <stdexcept>

#include "tests/support/process.h"

namespace rehearse {
namespace {

namespace fs = std::filesystem;

constexpr int kRateHz = 16000;
constexpr double kTone_s = 0.16, kGap_s = 0.08, kSpace_s = 0.24;
constexpr const char* kDone = "done";

// Held by the test that makes the run; others wait.
class Turn {
 public:
  explicit Turn(const std::string& path) : descriptor_(open(path.c_str(), O_CREAT | O_RDWR, 0600)) {
    if (descriptor_ < 0 || flock(descriptor_, LOCK_EX) != 0) throw std::runtime_error("cannot lock " + path);
  }
  ~Turn() { close(descriptor_); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  int descriptor_;
};

void write(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

void expect_success(const ProcessResult& result) {
  if (result.exit_code != 0) throw std::runtime_error("the toy run could not be made: " + result.err + result.out);
}

void make(const fs::path& folder) {
  write_toy_set(folder, "loud_train.jsonl", "loud", toy_texts(24, 1));
  write_toy_set(folder, "soft_train.jsonl", "soft", toy_texts(24, 2));
  write_toy_set(folder / "v", "loud_valid.jsonl", "loud", toy_texts(6, 3));
  write_toy_set(folder / "v", "soft_valid.jsonl", "soft", toy_texts(5, 4));
  expect_success(run_rehearse({"tokenizer", (folder / "loud_train.jsonl").string(), "--kind", "char", "--out",
                               (folder / "characters.txt").string()}));
  const std::string at = folder.string() + "/";
  write(folder / "config.yaml", "run: {folder: " + at + "run}\nthreads: 1\ndata:\n  train: [" + at +
                                    "loud_train.jsonl, " + at + "soft_train.jsonl]\n  valid: [" + at +
                                    "v/loud_valid.jsonl, " + at + "v/soft_valid.jsonl]\n  tokenizer: " + at +
                                    "characters.txt\n"
                                    "features: {channels: 32}\n"
                                    "model:\n  blocks:\n    - {type: subsample, channels: 32, factor: 4}\n"
                                    "    - {type: separable, channels: 32, kernel: 9}\n"
                                    "batch: {seconds: 24, micro_batches: 2}\n"
                                    "curriculum: {max_repeats: 0}\n"
                                    "optimizer: {lr: 0.02}\nbudget: {steps: 160}\n");
  expect_success(run_rehearse({"train", (folder / "config.yaml").string()}));
}

}  // namespace

std::vector<float> toy_audio(const std::string& text, float gain) {
  std::vector<float> samples(static_cast<size_t>(kGap_s * kRateHz));
  for (char letter : text) {
    if (letter == ' ') {
      samples.resize(samples.size() + static_cast<size_t>(kSpace_s * kRateHz));
      continue;
    }
    const double hertz = 300.0 * std::pow(1.9, letter - 'a');
    const auto count = static_cast<size_t>(kTone_s * kRateHz);
    for (size_t i = 0; i < count; ++i) {
      const double rise = std::sin(M_PI * static_cast<double>(i) / static_cast<double>(count));
      samples.push_back(gain *
                        static_cast<float>(rise * std::sin(2 * M_PI * hertz * static_cast<double>(i) / kRateHz)));
    }
    samples.resize(samples.size() + static_cast<size_t>(kGap_s * kRateHz));
  }
  return samples;
}

void write_wav(const fs::path& path, const std::vector<float>& samples, int sample_rate_hz) {
  std::string bytes = "RIFF....WAVEfmt ";
  const auto add = [&bytes](uint32_t value, size_t size) {
    for (size_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(value >> (8 * i)));
  };
  const auto rate = static_cast<uint32_t>(sample_rate_hz), data = static_cast<uint32_t>(2 * samples.size());
  add(16, 4), add(1, 2), add(1, 2), add(rate, 4), add(2 * rate, 4), add(2, 2), add(16, 2);
  bytes += "data";
  add(data, 4);
  for (float sample : samples) add(static_cast<uint16_t>(static_cast<int16_t>(std::lround(sample * 32767))), 2);
  const auto riff = static_cast<uint32_t>(bytes.size() - 8);
  for (size_t i = 0; i < 4; ++i) bytes[4 + i] = static_cast<char>(riff >> (8 * i));
  write(path, bytes);
}

void write_toy_set(const fs::path& folder, const std::string& manifest, const std::string& domain,
                   const std::vector<std::string>& texts) {
  fs::create_directories(folder);
  std::string lines;
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string name = manifest.substr(0, manifest.find('.')) + std::to_string(i) + ".wav";
    const std::vector<float> samples = toy_audio(texts[i], domain == "soft" ? 0.1f : 0.6f);
    write_wav(folder / name, samples);
    lines += R"({"audio_filepath": ")" + name + R"(", "text": ")" + texts[i] + R"(", "domain": ")" + domain +
             R"(", "duration": )" + std::to_string(static_cast<double>(samples.size()) / kRateHz) + "}\n";
  }
  write(folder / manifest, lines);
}

std::vector<std::string> toy_texts(size_t count, uint64_t seed) {
  uint64_t state = seed;
  const auto below = [&state](uint64_t n) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (state >> 33) % n;
  };
  std::vector<std::string> texts;
  for (size_t i = 0; i < count; ++i) {
    std::string text;
    for (uint64_t word = 0, words = 2 + below(2); word < words; ++word) {
      if (word > 0) text += " ";
      for (uint64_t letter = 0, letters = 2 + below(3); letter < letters; ++letter)
        text.push_back(static_cast<char>('a' + below(4)));
    }
    texts.push_back(text);
  }
  return texts;
}

fs::path made_once(const std::string& name, const std::function<void(const fs::path&)>& make_it) {
  const fs::path binary = rehearse_binary();
  const auto stamp = fs::last_write_time(binary).time_since_epoch().count();
  const fs::path base = binary.parent_path() / name, folder = base / std::to_string(stamp);
  fs::create_directories(base);
  const Turn turn((base / "lock").string());
  if (fs::exists(folder / kDone)) return folder;
  for (const auto& old : fs::directory_iterator(base))
    if (old.is_directory()) fs::remove_all(old);
  fs::create_directories(folder);
  make_it(folder);
  write(folder / kDone, "");
  return folder;
}

const fs::path& toy_folder() {
  static const fs::path kFolder = made_once("toy_run", make);
  return kFolder;
}

}  // namespace rehearse
