#include "data/speech/sound/byte_source.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string_view>
#include <thread>

#include "trainer/base/text/printable.h"

namespace rehearse {
namespace {

constexpr std::array<double, 4> kWaits_s = {0.1, 0.5, 2, 5};
constexpr size_t kWindowBytes = 1 << 16;

std::string reason_of(int error_number) {
  std::string text = std::strerror(error_number);
  if (!text.empty()) text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  return text;
}

// Calls `act`, which gives -errno, until it succeeds, fails for good, or was tried often enough.
template <class Act>
auto patiently(ReadLayer& layer, const std::string& name, Act act) {
  for (size_t tries = 0;; ++tries) {
    const auto result = act();
    if (result >= 0 || !is_passing(static_cast<int>(-result))) return result;
    const std::string reason = reason_of(static_cast<int>(-result));
    if (tries == kWaits_s.size())
      throw PassingError(name, ": expected to read it; found ", reason, ", ", tries + 1,
                         " times in a row; look at the disk or the network folder");
    layer.say(concat("rehearse: ", printable(name), ": ", reason, "; trying again in ", kWaits_s[tries], " s"));
    layer.wait(kWaits_s[tries]);
  }
}

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISCHR(mode)) return "a terminal or another device";
  return "a disk";
}

}  // namespace

int ReadLayer::status(const std::string& path, struct stat& found) {
  return ::stat(path.c_str(), &found) == 0 ? 0 : -errno;
}

int ReadLayer::open(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
  return descriptor >= 0 ? descriptor : -errno;
}

int64_t ReadLayer::read_at(int descriptor, std::span<std::byte> to, uint64_t offset) {
  const ssize_t got = ::pread(descriptor, to.data(), to.size(), static_cast<off_t>(offset));
  return got >= 0 ? got : -errno;
}

void ReadLayer::wait(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

double ReadLayer::now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void ReadLayer::say(const std::string& line) {
  std::cerr << line + "\n";
}

ReadLayer& ReadLayer::system() {
  static ReadLayer layer;
  return layer;
}

bool is_passing(int error_number) {
  constexpr std::array kPassing = {EIO,      ESTALE,      ETIMEDOUT, EAGAIN,       EINTR,        EMFILE,
                                   ENFILE,   ENOMEM,      ENOBUFS,   EBUSY,        ECONNRESET,   ENOTCONN,
                                   ENETDOWN, ENETUNREACH, EHOSTDOWN, EHOSTUNREACH, ECONNABORTED, EREMOTEIO};
  return std::find(kPassing.begin(), kPassing.end(), error_number) != kPassing.end();
}

class ByteSource::Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() { ::close(number_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int number() const { return number_; }

  // A file without a name with all that `pipe` says until its writers close it.
  static std::shared_ptr<const Descriptor> spooled(const Descriptor& pipe, const std::string& name, uint64_t& size) {
    const char* folder = std::getenv("TMPDIR");
    std::string path = concat(folder != nullptr && *folder != '\0' ? folder : "/tmp", "/rehearse-pipe-XXXXXX");
    const int number = ::mkstemp(path.data());
    if (number < 0)
      throw CommError(path, ": expected room for what ", name, " says; found ", reason_of(errno), "; set TMPDIR");
    auto spool = std::make_shared<Descriptor>(number);
    ::unlink(path.c_str());
    std::vector<std::byte> block(kWindowBytes);
    for (;;) {
      const ssize_t got = ::read(pipe.number(), block.data(), block.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw DataError(name, ": expected to read the pipe to its end; found ", reason_of(errno));
      if (got == 0) return spool;
      spool->append(std::span(block).first(static_cast<size_t>(got)), path);
      size += static_cast<uint64_t>(got);
    }
  }

 private:
  void append(std::span<const std::byte> bytes, const std::string& path) const {
    while (!bytes.empty()) {
      const ssize_t written = ::write(number_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0)
        throw CommError(path, ": expected to keep what a pipe says; found ", reason_of(errno), "; set TMPDIR");
      bytes = bytes.subspan(static_cast<size_t>(written));
    }
  }

  int number_;
};

ByteSource::ByteSource(const std::string& path, ReadLayer& layer, bool reads_pipes) : name_(path), layer_(&layer) {
  struct stat found {};
  const int failure = patiently(layer, path, [&] { return layer.status(path, found); });
  if (failure == -ENOENT) throw DataError(path, ": expected an audio file; found no such file");
  if (failure < 0) throw DataError(path, ": expected an audio file; found ", reason_of(-failure));
  const bool is_pipe = S_ISFIFO(found.st_mode) || S_ISCHR(found.st_mode);
  if (is_pipe && !reads_pipes)
    throw DataError(path, ": expected an audio file; found ", kind_of(found.st_mode),
                    ", which can be read only once; write it to a file first");
  if (!is_pipe && !S_ISREG(found.st_mode))
    throw DataError(path, ": expected an audio file; found ", kind_of(found.st_mode));
  reopen();
  size_ = static_cast<uint64_t>(found.st_size);
  if (is_pipe) {
    size_ = 0;
    descriptor_ = Descriptor::spooled(*descriptor_, name_, size_);
    is_spooled_ = true;
  }
  if (size_ == 0) throw DataError(path, ": expected an audio file; found 0 bytes");
}

ByteSource::ByteSource(std::span<const std::byte> bytes, const std::string& name)
    : name_(name), memory_(bytes), size_(bytes.size()) {}

ByteSource::~ByteSource() = default;

std::shared_ptr<const ByteSource::Descriptor> ByteSource::descriptor() const {
  const std::lock_guard lock(mutex_);
  return descriptor_;
}

void ByteSource::reopen() const {
  const int number = patiently(*layer_, name_, [&] { return layer_->open(name_); });
  if (number < 0) throw DataError(name_, ": expected a file that may be read; found ", reason_of(-number));
  const std::lock_guard lock(mutex_);
  descriptor_ = std::make_shared<const Descriptor>(number);
}

size_t ByteSource::read_at(uint64_t offset, std::span<std::byte> to) const {
  if (offset >= size_) return 0;
  to = to.first(static_cast<size_t>(std::min<uint64_t>(to.size(), size_ - offset)));
  if (layer_ == nullptr) {
    std::memcpy(to.data(), memory_.data() + offset, to.size());
    return to.size();
  }
  size_t done = 0;
  while (done < to.size()) {
    const int64_t got = patiently(*layer_, name_, [&] {
      const int64_t result = layer_->read_at(descriptor()->number(), to.subspan(done), offset + done);
      if (result == -ESTALE && !is_spooled_) reopen();
      return result;
    });
    if (got < 0) throw DataError(name_, ": expected to read it; found ", reason_of(static_cast<int>(-got)));
    if (got == 0) break;  // shorter than it was when opened
    done += static_cast<size_t>(got);
  }
  return done;
}

std::span<const std::byte> ByteWindow::at(uint64_t offset, size_t count) {
  const uint64_t end = std::min(size(), offset + count);
  if (offset >= end) return {};
  if (offset < begin_ || end > begin_ + buffer_.size()) {
    buffer_.resize(std::max(kWindowBytes, count));
    begin_ = offset;
    buffer_.resize(source_.read_at(offset, buffer_));
  }
  const auto available = std::span<const std::byte>(buffer_).subspan(static_cast<size_t>(offset - begin_));
  return available.first(std::min<size_t>(available.size(), static_cast<size_t>(end - offset)));
}

bool ByteWindow::has(uint64_t offset, std::string_view bytes) {
  const auto found = at(offset, bytes.size());
  return found.size() == bytes.size() && std::memcmp(found.data(), bytes.data(), bytes.size()) == 0;
}

uint64_t little_endian(std::span<const std::byte> bytes, size_t at, size_t count) {
  uint64_t value = 0;
  for (size_t i = 0; i < count; ++i)
    if (at + i < bytes.size()) value |= std::to_integer<uint64_t>(bytes[at + i]) << (8 * i);
  return value;
}

uint64_t big_endian(std::span<const std::byte> bytes, size_t at, size_t count) {
  uint64_t value = 0;
  for (size_t i = 0; i < count; ++i)
    value = value << 8 | (at + i < bytes.size() ? std::to_integer<uint64_t>(bytes[at + i]) : 0);
  return value;
}

}  // namespace rehearse
