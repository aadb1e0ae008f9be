// The lines of manifests, tables and transcripts, whoever wrote them.
#pragma once

#include <filesystem>
#include <string>

struct gzFile_s;

namespace rehearse {

namespace fs = std::filesystem;

// Lines of a UTF-8 file, plain or compressed by gzip, without line ends, carriage returns and byte order mark.
// DataError for a file that is absent, unreadable, damaged or in UTF-16; the text itself may still not be UTF-8.
class TextLines {
 public:
  explicit TextLines(const fs::path& path);
  ~TextLines();
  TextLines(const TextLines&) = delete;
  TextLines& operator=(const TextLines&) = delete;

  bool next(std::string& line);                          // false at the end
  size_t number() const { return number_; }              // of the last line, from 1
  std::string where() const;                             // "file:number"
  bool is_open_ended() const { return is_open_ended_; }  // the last line had no line end

 private:
  bool fill();
  void expect_utf8_bytes() const;

  std::string path_;
  gzFile_s* file_;
  std::string block_;
  size_t at_ = 0;
  size_t number_ = 0;
  bool is_open_ended_ = false;
};

}  // namespace rehearse
