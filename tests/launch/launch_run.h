// launch/run.sh with stand-ins for mpirun and what it would start on other hosts.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

namespace rehearse {

class LaunchRun : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "launch_run_" + std::to_string(getpid()) + "_" +
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directories(folder_);
    unsetenv("SLURM_JOB_ID");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // Writes an executable that is found before the real one.
  void stand_in(const std::string& body, const std::string& name = "mpirun") {
    std::ofstream(folder_ + "/" + name) << "#!/bin/bash\n" << body;
    std::filesystem::permissions(folder_ + "/" + name, std::filesystem::perms::owner_all);
  }
  pid_t start(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), REHEARSE_SOURCE_DIR "/launch/run.sh");
    std::vector<char*> raw;
    raw.reserve(arguments.size() + 1);
    for (auto& argument : arguments) raw.push_back(argument.data());
    raw.push_back(nullptr);
    const std::string path = folder_ + ":" + getenv("PATH"), out = folder_ + "/out";
    const pid_t child = fork();
    if (child == 0) {
      signal(SIGINT, SIG_DFL);  // a shell cannot trap what it inherited as ignored
      setenv("PATH", path.c_str(), 1);
      const int file = open(out.c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600);
      dup2(file, 1);
      dup2(file, 2);
      execv(raw[0], raw.data());
      _exit(127);
    }
    return child;
  }
  int finish(pid_t child) {
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  int run(std::vector<std::string> arguments) { return finish(start(std::move(arguments))); }
  std::string output() const {
    std::ifstream in(folder_ + "/out");
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }
  bool waits_for(const std::string& text) const {
    for (int i = 0; i < 500; ++i) {
      if (output().find(text) != std::string::npos) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  std::string folder_;
};

}  // namespace rehearse
