#include "trainer/base/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <mutex>

#include "trainer/base/text/printable.h"

namespace rehearse {

struct Log::Sinks {
  std::shared_ptr<spdlog::logger> file;
  std::shared_ptr<spdlog::logger> terminal;
  bool info_to_terminal = true;
  bool is_terminal = false;
  std::mutex mutex;
  std::string status;

  // The status line gives way to a log line and comes back under it.
  void clear_status() {
    if (!status.empty()) std::fputs("\r\033[K", stderr);
  }
  void draw_status() {
    if (status.empty()) return;
    std::fputs(("\r" + status + "\033[K").c_str(), stderr);
    std::fflush(stderr);
  }
};

Log::Log(const Options& options) : sinks_(std::make_unique<Sinks>()) {
  const std::string prefix = concat("%Y-%m-%d %H:%M:%S.%e [rank ", options.rank, "] %l: %v");
  if (!options.file.empty()) {
    try {
      sinks_->file =
          std::make_shared<spdlog::logger>("file", std::make_shared<spdlog::sinks::basic_file_sink_mt>(options.file));
    } catch (const spdlog::spdlog_ex& failure) {
      throw ConfigError(options.file, ": expected a writable log file; found ", failure.what());
    }
    sinks_->file->set_pattern(prefix);
    sinks_->file->flush_on(spdlog::level::info);
  }
  sinks_->terminal = std::make_shared<spdlog::logger>("terminal", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  sinks_->terminal->set_pattern(options.rank == 0 ? "%v" : concat("[rank ", options.rank, "] %v"));
  sinks_->info_to_terminal = options.to_terminal;
  sinks_->is_terminal = isatty(STDERR_FILENO) != 0;
}

Log::~Log() {
  status("");
}

void Log::write(Level level, const std::string& foreign) {
  const std::string message = printable_lines(foreign);  // paths and texts of a corpus come through here
  const std::lock_guard lock(sinks_->mutex);
  const auto severity = level == kWarn    ? spdlog::level::warn
                        : level == kError ? spdlog::level::err
                                          : spdlog::level::info;
  if (sinks_->file) sinks_->file->log(severity, message);
  if (level == kDetail || (level == kInfo && !sinks_->info_to_terminal)) return;
  sinks_->clear_status();
  const char* prefix = level == kInfo ? "" : level == kWarn ? "warning: " : "error: ";
  sinks_->terminal->log(severity, prefix + message);
  sinks_->draw_status();
}

void Log::status(const std::string& line) {
  const std::lock_guard lock(sinks_->mutex);
  if (!sinks_->is_terminal || !sinks_->info_to_terminal) return;
  if (line.empty()) sinks_->clear_status();
  sinks_->status = line;
  sinks_->draw_status();
}

}  // namespace rehearse
