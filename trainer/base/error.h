// The error vocabulary: what happened decides the type, the type decides the exit code (see trainer/README.md).
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace rehearse {

enum ExitCode : int {
  kExitOk = 0,
  kExitBug = 1,
  kExitConfig = 2,
  kExitData = 3,
  kExitComm = 4,
  kExitStopped = 75,
};

// Joins its arguments as operator<< prints them.
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

// Base of all expected failures. The message reads "where: expected, found; what to do".
class Error : public std::runtime_error {
 public:
  Error(const std::string& message, int exit_code) : std::runtime_error(message), exit_code_(exit_code) {}
  int exit_code() const { return exit_code_; }

 private:
  int exit_code_;
};

// Bad configuration or command line; raised before any device is touched.
class ConfigError : public Error {
 public:
  template <class... Parts>
  explicit ConfigError(const Parts&... parts) : Error(concat(parts...), kExitConfig) {}
};

// A bad sample, manifest, pack or checkpoint. The Loader may replace a sample by weight 0.
class DataError : public Error {
 public:
  template <class... Parts>
  explicit DataError(const Parts&... parts) : Error(concat(parts...), kExitData) {}
};

// A peer, MPI, NCCL, CUDA or the disk failed.
class CommError : public Error {
 public:
  template <class... Parts>
  explicit CommError(const Parts&... parts) : Error(concat(parts...), kExitComm) {}
};

// Our own bug: raised by REHEARSE_CHECK only.
class BugError : public Error {
 public:
  explicit BugError(const std::string& message) : Error(message, kExitBug) {}
};

[[noreturn]] void raise_bug(const char* file, int line, const char* condition, const std::string& reason);

}  // namespace rehearse

// Active in release builds. The reason says why the condition must hold.
#define REHEARSE_CHECK(condition, ...)                                                                        \
  do {                                                                                                        \
    if (!(condition)) ::rehearse::raise_bug(__FILE__, __LINE__, #condition, ::rehearse::concat(__VA_ARGS__)); \
  } while (false)
