// A small checkpoint with all kinds of content, and a file layer that fails on demand.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "tests/data/text/text_support.h"
#include "trainer/base/random.h"
#include "trainer/checkpoint/checkpoint.h"

namespace rehearse {

// Owns the values that CheckpointContents refers to.
struct SmallCheckpoint {
  std::vector<float> weights, moments;
  CheckpointContents contents;

  // size: elements of the largest tensor.
  explicit SmallCheckpoint(uint64_t step, size_t size = 3000) {
    const RandomKey key = RandomKey(step).with("checkpoint");
    for (size_t i = 0; i < size; ++i) weights.push_back(static_cast<float>(key.uniform(i) - 0.5));
    for (size_t i = 0; i < size; ++i) moments.push_back(static_cast<float>(key.normal(i)));
    contents.step = step;
    contents.model = {{"blocks.0.weight", {static_cast<int64_t>(size) / 3, 3}, weights},
                      {"head.bias", {2}, std::span(weights).first(2)}};
    contents.optimizer = {{"exp_avg", {static_cast<int64_t>(size)}, moments}};
    contents.state.values["facts"] = {{"ranks", 2}, {"step_s", 0.25}};
    contents.state.arrays["sampler.cer"] = StateArray::of<float>({0.5f, 1.0f, 0.0f});
    contents.state.arrays["sampler.visits"] = StateArray::of<uint32_t>(std::vector<uint32_t>(size, 7));
    contents.files = {{"config.yaml", "seed: 1\n"}, {"tokenizer.txt", "a\nb\n"}, {"front_end.json", "{}"}};
  }
};

// Counts operations; the one with number `fail_at` (from 0) throws instead of acting, or after half of a write.
class FailingFiles : public FileLayer {
 public:
  explicit FailingFiles(int fail_at, bool is_torn = false, bool can_exchange = true)
      : fail_at_(fail_at), is_torn_(is_torn), can_exchange_(can_exchange) {}
  int num_operations() const { return operations_; }

  void write(const fs::path& path, std::span<const std::byte> bytes) override {
    if (is_due()) {
      if (is_torn_) FileLayer::write(path, bytes.first(bytes.size() / 2));
      fail(path);
    }
    FileLayer::write(path, bytes);
  }
  void sync_folder(const fs::path& folder) override {
    if (is_due()) fail(folder);
    FileLayer::sync_folder(folder);
  }
  void rename(const fs::path& from, const fs::path& to) override {
    if (is_due()) fail(to);
    FileLayer::rename(from, to);
  }
  bool exchange(const fs::path& one, const fs::path& other) override {
    if (!can_exchange_) return false;
    if (is_due()) fail(other);
    return FileLayer::exchange(one, other);
  }

 private:
  bool is_due() { return operations_++ == fail_at_; }
  [[noreturn]] void fail(const fs::path& path) { throw CommError(path.string(), ": no space left, says the test"); }
  int fail_at_;
  bool is_torn_;
  bool can_exchange_;
  int operations_ = 0;
};

// A file server on which folders with an open file cannot be removed (.nfs…), nor links made.
class BusyFiles : public FileLayer {
 public:
  void remove_tree(const fs::path& path) override {
    if (!is_busy || !fs::is_directory(path)) return FileLayer::remove_tree(path);
    for (const auto& entry : fs::directory_iterator(path))
      if (entry.path().filename() != kOpen) fs::remove_all(entry.path());
    std::ofstream(path / kOpen) << "held open";
    throw CommError(path.string(), ": could not remove it: Directory not empty");
  }
  void symlink(const fs::path&, const fs::path& link) override {
    throw CommError(link.string(), ": Operation not permitted");
  }
  bool is_busy = true;

 private:
  static constexpr const char* kOpen = ".nfs0000000000a1b2c3";
};

inline void overwrite(const fs::path& path, const std::vector<std::byte>& bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

inline std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace rehearse
