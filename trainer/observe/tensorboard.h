// Scalars and pictures for TensorBoard: an event file written without any library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <span>
#include <string>

#include "trainer/base/files.h"

namespace rehearse {

// CRC-32C (Castagnoli, reflected, initial value and final xor of all ones).
uint32_t crc32c(std::span<const std::byte> bytes);

// One record: length (u64), its masked CRC (u32), the bytes, their masked CRC (u32); little-endian.
std::string tf_record(const std::string& bytes);

// Writes one file `events.out.tfevents.TIME.HOST[.N]`, never an existing one. One thread at a time.
class EventWriter {
 public:
  struct Options {
    fs::path folder;         // created when absent
    std::string host;        // part of the file's name
    double wall_time = 0;    // seconds since 1970
    int64_t first_step = 0;  // of this (resumed) run; > 0: a viewer forgets what older files hold from there on
  };
  explicit EventWriter(const Options& options);  // CommError when the file cannot be written

  // In the file when it returns.
  void scalar(const std::string& tag, int64_t step, double value, double wall_time);
  void picture(const std::string& tag, int64_t step, const std::string& png, double wall_time);

  const fs::path& path() const { return path_; }

 private:
  void write(const std::string& event);
  void summary(const std::string& entry, int64_t step, double wall_time);

  fs::path path_;
  std::ofstream out_;
};

}  // namespace rehearse
