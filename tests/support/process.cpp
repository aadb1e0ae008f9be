#include "tests/support/process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <thread>

extern char** environ;

namespace rehearse {
namespace {

// A temporary file that a child writes and the test reads back.
class Capture {
 public:
  Capture() {
    std::string name = (std::filesystem::temp_directory_path() / "rehearse_out_XXXXXX").string();
    descriptor_ = mkstemp(name.data());
    if (descriptor_ < 0) throw std::runtime_error("mkstemp failed: " + name);
    path_ = name;
  }
  ~Capture() {
    close(descriptor_);
    unlink(path_.c_str());
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  int descriptor() const { return descriptor_; }
  std::string text() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

 private:
  int descriptor_;
  std::string path_;
};

std::vector<std::string> environment_with(const std::map<std::string, std::string>& more) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry; ++entry) {
    const std::string text = *entry;
    if (!more.contains(text.substr(0, text.find('=')))) all.push_back(text);
  }
  for (const auto& [name, value] : more) all.push_back(name + "=" + value);
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> raw;
  for (std::string& text : texts) raw.push_back(text.data());
  raw.push_back(nullptr);
  return raw;
}

// False when the time was up.
bool wait_for(pid_t child, double timeout_s, int& status) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(timeout_s);
  while (waitpid(child, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > end) {
      kill(-child, SIGKILL);
      waitpid(child, &status, 0);
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace

ProcessResult run_process(const std::vector<std::string>& arguments, const ProcessOptions& options) {
  const Capture out, err;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out.descriptor(), 1);
  posix_spawn_file_actions_adddup2(&actions, err.descriptor(), 2);
  if (!options.folder.empty()) posix_spawn_file_actions_addchdir_np(&actions, options.folder.c_str());
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawnattr_setpgroup(&attributes, 0);

  std::vector<std::string> words = arguments, environment = environment_with(options.environment);
  pid_t child = 0;
  const int failure = posix_spawnp(&child, words[0].c_str(), &actions, &attributes, pointers(words).data(),
                                   pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (failure != 0) throw std::runtime_error("cannot start " + words[0]);

  int status = 0;
  ProcessResult result;
  const bool is_in_time = wait_for(child, options.timeout_s, status);
  result.out = out.text();
  result.err = err.text();
  if (!is_in_time) result.err += "killed by the test after " + std::to_string(options.timeout_s) + " s\n";
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
  return result;
}

ProcessResult run_rehearse(std::vector<std::string> arguments, const ProcessOptions& options) {
  arguments.insert(arguments.begin(), REHEARSE_BINARY);
  ProcessOptions one_thread = options;  // threads that wait for each other are slow where tests run side by side
  one_thread.environment.emplace("OMP_NUM_THREADS", "1");
  return run_process(arguments, one_thread);
}

ProcessResult run_rehearse_ranks(int ranks, std::vector<std::string> arguments, ProcessOptions options) {
  options.environment["OMPI_ALLOW_RUN_AS_ROOT"] = "1";
  options.environment["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1";
  std::vector<std::string> line = {"mpirun", "--oversubscribe",     "--bind-to",    "none",
                                   "-n",     std::to_string(ranks), REHEARSE_BINARY};
  line.insert(line.end(), arguments.begin(), arguments.end());
  return run_process(line, options);
}

}  // namespace rehearse
