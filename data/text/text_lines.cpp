#include "data/text/text_lines.h"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

constexpr size_t kBlockBytes = 1u << 20;
constexpr size_t kLongestLine = 64u << 20;

gzFile opened(const std::string& path) {
  std::error_code failure;
  if (fs::is_directory(path, failure)) throw DataError(path, ": expected a text file; found a folder");
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) throw DataError(path, ": expected a readable file; found ", std::strerror(errno));
  const gzFile file = gzdopen(descriptor, "rb");
  if (file == nullptr) ::close(descriptor);
  REHEARSE_CHECK(file != nullptr, "memory for a small buffer is there");
  return file;
}

}  // namespace

TextLines::TextLines(const fs::path& path) : path_(path.string()), file_(opened(path_)) {
  try {
    fill();
    expect_utf8_bytes();
  } catch (...) {
    gzclose(file_);
    throw;
  }
  if (block_.starts_with("\xEF\xBB\xBF")) at_ = 3;
}

TextLines::~TextLines() {
  gzclose(file_);
}

std::string TextLines::where() const {
  return concat(path_, ":", number_);
}

// A byte order mark of UTF-16 or UTF-32, a zero byte beside every letter, or another program's compression.
void TextLines::expect_utf8_bytes() const {
  const auto fail = [&](const char* found, const char* name) {
    throw DataError(path_, ": expected UTF-8; found ", found, "; convert it: iconv -f ", name, " -t UTF-8");
  };
  if (block_.starts_with("\xFF\xFE") || block_.starts_with("\xFE\xFF")) fail("UTF-16 (a byte order mark)", "UTF-16");
  if (block_.starts_with(std::string("\0\0\xFE\xFF", 4))) fail("UTF-32 (a byte order mark)", "UTF-32");
  using Magic = std::pair<const char*, const char*>;
  for (const auto& [magic, name] : {Magic{"PK\x03\x04", "a zip archive"}, Magic{"BZh", "bzip2"},
                                    Magic{"\xFD"
                                          "7zXZ",
                                          "xz"},
                                    Magic{"\x28\xB5\x2F\xFD", "zstd"}})
    if (block_.starts_with(magic)) throw DataError(path_, ": expected text or gzip; found ", name, "; unpack it first");
  const size_t looked_at = std::min<size_t>(block_.size(), 512);
  size_t zeros[2] = {0, 0};
  for (size_t i = 0; i < looked_at; ++i) zeros[i % 2] += block_[i] == '\0' ? 1 : 0;
  if (4 * zeros[1] >= looked_at && zeros[1] > zeros[0] + 1) fail("UTF-16", "UTF-16LE");
  if (4 * zeros[0] >= looked_at && zeros[0] > zeros[1] + 1) fail("UTF-16", "UTF-16BE");
}

bool TextLines::fill() {
  block_.resize(kBlockBytes);
  at_ = 0;
  errno = 0;
  const int got = gzread(file_, block_.data(), static_cast<unsigned>(block_.size()));
  int code = Z_OK;
  gzerror(file_, &code);
  if (code == Z_ERRNO) throw DataError(path_, ": expected to read it to the end; found ", std::strerror(errno));
  // zlib gives what came before the damage, and Z_BUF_ERROR when the end of the stream is missing.
  if (got < 0 || code == Z_BUF_ERROR || code == Z_DATA_ERROR)
    throw DataError(path_, ": expected a whole gzip file; found it ", code == Z_BUF_ERROR ? "cut off" : "damaged",
                    " after line ", number_, "; copy it again");
  block_.resize(static_cast<size_t>(got));
  return got > 0;
}

bool TextLines::next(std::string& line) {
  line.clear();
  bool is_there = false;
  while (at_ < block_.size() || fill()) {
    is_there = true;
    const size_t end = block_.find('\n', at_);
    line.append(block_, at_, end == std::string::npos ? end : end - at_);
    is_open_ended_ = end == std::string::npos;
    at_ = is_open_ended_ ? block_.size() : end + 1;
    if (!is_open_ended_) break;
    if (line.size() > kLongestLine)
      throw DataError(path_, ":", number_ + 1, ": expected lines of at most ", kLongestLine >> 20,
                      " MiB; found a longer one; is it a text file?");
  }
  if (!is_there) return false;
  ++number_;
  if (!line.empty() && line.back() == '\r') line.pop_back();
  return true;
}

}  // namespace rehearse
