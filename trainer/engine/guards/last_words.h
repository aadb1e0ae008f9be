// Why a process ends before its time, kept in its run folder: stderr of a cluster's job is often gone by then.
#pragma once

#include <cstdint>
#include <string>

#include "trainer/base/files.h"

namespace rehearse {

// From now on this process's last words go to the end of `log`. Signals that end a process without its consent (a
// crash, a lost terminal) leave a line there and on stderr, and no stack trace. ConfigError when it cannot be written.
void keep_last_words(const fs::path& log, int rank);
// And as a note to metrics.jsonl, which is there.
void note_last_words(const fs::path& metrics);
// The step that a note in metrics.jsonl belongs to.
void set_last_words_step(uint64_t step);
// For a process that ends right after it; from any thread, and even while another one writes. Never throws.
void say_last_words(const std::string& message) noexcept;
// The same within a signal handler; only for the log.
void say_ended_by(int signal) noexcept;

}  // namespace rehearse
