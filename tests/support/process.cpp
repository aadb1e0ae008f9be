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

}  // namespace

struct RunningProcess::State {
  Capture out, err;
  pid_t child = 0;
  bool is_over = false;
  int status = 0;
};

RunningProcess::RunningProcess(const std::vector<std::string>& arguments, const ProcessOptions& options)
    : state_(std::make_unique<State>()) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, state_->out.descriptor(), 1);
  posix_spawn_file_actions_adddup2(&actions, state_->err.descriptor(), 2);
  if (!options.folder.empty()) posix_spawn_file_actions_addchdir_np(&actions, options.folder.c_str());
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawnattr_setpgroup(&attributes, 0);

  std::vector<std::string> words = arguments, environment = environment_with(options.environment);
  const int failure = posix_spawnp(&state_->child, words[0].c_str(), &actions, &attributes, pointers(words).data(),
                                   pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (failure != 0) throw std::runtime_error("cannot start " + words[0]);
}

RunningProcess::~RunningProcess() {
  if (!state_->is_over) end_now();
}

pid_t RunningProcess::id() const {
  return state_->child;
}

std::string RunningProcess::err() const {
  return state_->err.text();
}

bool RunningProcess::is_over() {
  if (!state_->is_over) state_->is_over = waitpid(state_->child, &state_->status, WNOHANG) != 0;
  return state_->is_over;
}

void RunningProcess::end_now() {
  for (pid_t one : descendants_of(state_->child)) kill(one, SIGKILL);
  kill(-state_->child, SIGKILL);
  waitpid(state_->child, &state_->status, 0);
  state_->is_over = true;
}

ProcessResult RunningProcess::wait(double timeout_s) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(timeout_s);
  bool is_late = false;
  while (!is_over()) {
    is_late = std::chrono::steady_clock::now() > end;
    if (is_late) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  if (is_late) end_now();
  ProcessResult result;
  result.out = state_->out.text();
  result.err = state_->err.text();
  if (is_late) result.err += "killed by the test after " + std::to_string(timeout_s) + " s\n";
  if (WIFEXITED(state_->status)) result.exit_code = WEXITSTATUS(state_->status);
  if (WIFSIGNALED(state_->status)) result.signal = WTERMSIG(state_->status);
  return result;
}

std::vector<pid_t> descendants_of(pid_t ancestor) {
  std::vector<pid_t> found = {ancestor};
  for (size_t i = 0; i < found.size(); ++i) {
    const std::string id = std::to_string(found[i]);
    std::ifstream children("/proc/" + id + "/task/" + id + "/children");
    for (pid_t child; children >> child;) found.push_back(child);
  }
  found.erase(found.begin());
  return found;
}

std::optional<pid_t> process_of_rank(pid_t ancestor, int rank) {
  const std::string sought = "OMPI_COMM_WORLD_RANK=" + std::to_string(rank);
  for (pid_t one : descendants_of(ancestor)) {
    std::ifstream environment("/proc/" + std::to_string(one) + "/environ", std::ios::binary);
    for (std::string entry; std::getline(environment, entry, '\0');)
      if (entry == sought) return one;
  }
  return std::nullopt;
}

ProcessResult run_process(const std::vector<std::string>& arguments, const ProcessOptions& options) {
  return RunningProcess(arguments, options).wait(options.timeout_s);
}

std::string rehearse_binary() {
  const auto beside = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "rehearse";
  return std::filesystem::exists(beside) ? beside.string() : REHEARSE_BINARY;
}

ProcessResult run_rehearse(std::vector<std::string> arguments, const ProcessOptions& options) {
  arguments.insert(arguments.begin(), rehearse_binary());
  ProcessOptions one_thread = options;  // threads that wait for each other are slow where tests run side by side
  one_thread.environment.emplace("OMP_NUM_THREADS", "1");
  return run_process(arguments, one_thread);
}

std::vector<std::string> rehearse_ranks_line(int ranks, const std::vector<std::string>& arguments) {
  std::vector<std::string> line = {"env",
                                   "OMPI_ALLOW_RUN_AS_ROOT=1",
                                   "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
                                   "mpirun",
                                   "--oversubscribe",
                                   "--bind-to",
                                   "none",
                                   "-n",
                                   std::to_string(ranks),
                                   rehearse_binary()};
  line.insert(line.end(), arguments.begin(), arguments.end());
  return line;
}

ProcessResult run_rehearse_ranks(int ranks, std::vector<std::string> arguments, ProcessOptions options) {
  return run_process(rehearse_ranks_line(ranks, arguments), options);
}

}  // namespace rehearse
