#include "trainer/engine/guards/last_words.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <mutex>

#include "trainer/base/error.h"
#include "trainer/base/text/printable.h"
#include "trainer/observe/metrics.h"

namespace rehearse {
namespace {

// A signal handler has no arguments to be passed in: there is one log of a process, and one step.
std::atomic<int> log_descriptor = -1;
std::atomic<int> own_rank = 0;
std::atomic<uint64_t> current_step = 0;
std::mutex metrics_mutex;
fs::path metrics_path;

int open_to_append(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor < 0) throw ConfigError(path.string(), ": expected a writable file; found ", std::strerror(errno));
  return descriptor;
}

// Nothing more can be done where even this fails.
void append(int descriptor, const std::string& text) {
  if (descriptor < 0) return;
  if (::write(descriptor, text.data(), text.size()) < 0) return;
  ::fsync(descriptor);
}

// Opened only now: a resume replaces the file. Behind a line that a failing disk cut off there is no place for another.
void append_note(const std::string& line) {
  const std::lock_guard lock(metrics_mutex);
  if (metrics_path.empty()) return;
  const int descriptor = ::open(metrics_path.c_str(), O_RDWR | O_APPEND | O_CLOEXEC);
  char last = '\n';
  const off_t size = descriptor < 0 ? 0 : ::lseek(descriptor, 0, SEEK_END);
  if (size > 0 && ::pread(descriptor, &last, 1, size - 1) == 1 && last == '\n') append(descriptor, line);
  if (descriptor >= 0) ::close(descriptor);
}

std::string time_text() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  char text[32] = {};
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S.000", &local);
  return text;
}

const char* name_of(int signal) {
  switch (signal) {
    case SIGSEGV:
      return "SIGSEGV, a crash";
    case SIGBUS:
      return "SIGBUS, a file that became shorter or a crash";
    case SIGILL:
      return "SIGILL, an instruction that this processor lacks";
    case SIGFPE:
      return "SIGFPE, a crash";
    case SIGABRT:
      return "SIGABRT, a library gave up";
    case SIGHUP:
      return "SIGHUP, its terminal or job is gone";
    case SIGINT:
      return "SIGINT, the second one";
    default:
      return "a signal";
  }
}

void on_fatal(int signal) {
  say_ended_by(signal);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

}  // namespace

void keep_last_words(const fs::path& log, int rank) {
  own_rank = rank;
  log_descriptor = open_to_append(log);
  for (int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGHUP}) {
    struct sigaction before = {};
    sigaction(signal, nullptr, &before);
    if (before.sa_handler != SIG_IGN) std::signal(signal, on_fatal);  // nohup ignores SIGHUP
  }
}

void note_last_words(const fs::path& metrics) {
  const std::lock_guard lock(metrics_mutex);
  metrics_path = metrics;
}

void set_last_words_step(uint64_t step) {
  current_step = step;
}

void say_last_words(const std::string& message) noexcept {
  try {
    const std::string text = printable_lines(message);
    append(log_descriptor, concat(time_text(), " [rank ", own_rank.load(), "] error: ", text, "\n"));
    const NoteMetrics note{current_step, concat("ended by rank ", own_rank.load(), ": ", text)};
    append_note(metrics_line(note).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  } catch (...) {  // no memory left, perhaps
  }
}

void say_ended_by(int signal) noexcept {
  char digits[20];
  size_t count = 0;
  uint64_t step = current_step;
  do {
    digits[sizeof digits - ++count] = static_cast<char>('0' + step % 10);
    step /= 10;
  } while (step > 0);
  const int log = log_descriptor;
  const auto say = [log](const char* text, size_t size) {
    for (int descriptor : {log, STDERR_FILENO})
      if (descriptor >= 0 && ::write(descriptor, text, size) < 0) continue;
  };
  const char* name = name_of(signal);
  constexpr char kStart[] = "error: ended by ", kMiddle[] = " at step ", kEnd[] = "; resume with --resume auto\n";
  say(kStart, sizeof kStart - 1);
  say(name, std::strlen(name));
  say(kMiddle, sizeof kMiddle - 1);
  say(digits + sizeof digits - count, count);
  say(kEnd, sizeof kEnd - 1);
}

}  // namespace rehearse
