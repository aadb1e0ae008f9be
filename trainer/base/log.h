// Log lines with level, time and rank; std types only, so that torch files may include it.
#pragma once

#include <memory>
#include <string>

#include "trainer/base/error.h"

namespace rehearse {

// Thread-safe. Warnings and errors also go to stderr; info goes there when `to_terminal`.
class Log {
 public:
  struct Options {
    std::string file;  // empty: no file
    int rank = 0;
    bool to_terminal = true;  // info lines on stderr (rank 0 by custom)
  };
  explicit Log(const Options& options);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  template <class... Parts>
  void info(const Parts&... parts) {
    write(kInfo, concat(parts...));
  }
  template <class... Parts>
  void warn(const Parts&... parts) {
    write(kWarn, concat(parts...));
  }
  template <class... Parts>
  void error(const Parts&... parts) {
    write(kError, concat(parts...));
  }

  // To the file only.
  template <class... Parts>
  void detail(const Parts&... parts) {
    write(kDetail, concat(parts...));
  }

  // One line that overwrites itself on a terminal; not written to the file. Empty clears it.
  void status(const std::string& line);

 private:
  enum Level { kDetail, kInfo, kWarn, kError };
  void write(Level level, const std::string& message);
  struct Sinks;
  std::unique_ptr<Sinks> sinks_;
};

}  // namespace rehearse
