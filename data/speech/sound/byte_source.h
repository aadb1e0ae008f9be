// The bytes of a foreign file: a failure that may pass is tried again, pipes are read into a temporary file.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "trainer/base/error.h"

namespace rehearse {

// The file could not be read now, and may be whole: a network folder that is away, too many open files. Nobody should
// remember the file as a bad one.
class PassingError : public DataError {
 public:
  using DataError::DataError;
};

// What a reader asks of the system, as an object so that tests can fail any of it. Results below 0 are -errno.
// Thread-safe.
class ReadLayer {
 public:
  virtual ~ReadLayer() = default;
  virtual int status(const std::string& path, struct stat& found);
  virtual int open(const std::string& path);  // a descriptor that the caller closes
  virtual int64_t read_at(int descriptor, std::span<std::byte> to, uint64_t offset);
  virtual void wait(double seconds);
  virtual double now_s();                     // of a clock that only goes forward
  virtual void say(const std::string& line);  // on stderr

  static ReadLayer& system();
};

// True for what may pass: EIO, ESTALE, ETIMEDOUT, EAGAIN, EMFILE and their like.
bool is_passing(int error_number);

// read_at() may be called from several threads.
class ByteSource {
 public:
  // DataError saying what the path is when it is no readable file with content, PassingError when it cannot be read
  // after several tries. A pipe is read to its end when reads_pipes, refused otherwise. layer outlives the source.
  explicit ByteSource(const std::string& path, ReadLayer& layer = ReadLayer::system(), bool reads_pipes = false);
  ByteSource(std::span<const std::byte> bytes, const std::string& name);  // bytes outlive the source
  ~ByteSource();

  const std::string& name() const { return name_; }
  uint64_t size() const { return size_; }
  // Bytes read into `to`; fewer than asked only at the end.
  size_t read_at(uint64_t offset, std::span<std::byte> to) const;

 private:
  class Descriptor;
  std::shared_ptr<const Descriptor> descriptor() const;
  void reopen() const;

  std::string name_;
  ReadLayer* layer_ = nullptr;
  std::span<const std::byte> memory_;
  uint64_t size_ = 0;
  bool is_spooled_ = false;
  mutable std::mutex mutex_;  // guards descriptor_
  mutable std::shared_ptr<const Descriptor> descriptor_;
};

// Bytes of a source through a buffer, for walks over its structure. Not thread-safe.
class ByteWindow {
 public:
  explicit ByteWindow(const ByteSource& source) : source_(source) {}
  uint64_t size() const { return source_.size(); }
  // count bytes at offset, fewer at the end; valid until the next call.
  std::span<const std::byte> at(uint64_t offset, size_t count);
  // True when these bytes stand at offset.
  bool has(uint64_t offset, std::string_view bytes);

 private:
  const ByteSource& source_;
  std::vector<std::byte> buffer_;
  uint64_t begin_ = 0;
};

// Unsigned numbers in a file, at bytes[at]; 0 when they are not there.
uint64_t little_endian(std::span<const std::byte> bytes, size_t at, size_t count);
uint64_t big_endian(std::span<const std::byte> bytes, size_t at, size_t count);

}  // namespace rehearse
