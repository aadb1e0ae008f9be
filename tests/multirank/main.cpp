// gtest under mpirun: `mpirun -n 2 multirank_tests --ranks=2`. A world of another size fails; the first failure on any
// rank ends all of them.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string>

#include "tests/multirank/world_fixture.h"

namespace rehearse {
namespace {

World* shared_world = nullptr;
Communicator* shared_communicator = nullptr;

class EndAllOnFailure : public ::testing::EmptyTestEventListener {
  void OnTestPartResult(const ::testing::TestPartResult& result) override {
    if (!result.failed()) return;
    std::cerr << "rank " << world().rank() << " of " << world().size() << ": " << result.file_name() << ":"
              << result.line_number() << ": " << result.message() << "\n"
              << std::flush;
    _exit(1);  // mpirun ends the others
  }
};

int expected_ranks(int argc, char** argv) {
  for (int i = 1; i < argc; ++i)
    if (const std::string word = argv[i]; word.starts_with("--ranks=")) return std::atoi(word.c_str() + 8);
  return 0;
}

int run(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  World whole;
  shared_world = &whole;
  if (whole.size() != expected_ranks(argc, argv)) {
    std::cerr << "expected a world of --ranks=" << expected_ranks(argc, argv) << "; found " << whole.size()
              << "; start it with mpirun -n N … --ranks=N\n";
    return 1;
  }
  CommOptions options;
  options.timeout_s = 60;
  options.on_failure = [](const std::string& message) {
    std::cerr << message + "\n" << std::flush;
    _exit(1);
  };
  const auto communicator = make_communicator(whole, options);
  shared_communicator = communicator.get();
  auto& listeners = ::testing::UnitTest::GetInstance()->listeners();
  if (whole.rank() != 0) delete listeners.Release(listeners.default_result_printer());
  listeners.Append(new EndAllOnFailure);
  const int code = RUN_ALL_TESTS();
  communicator->finish();
  whole.finish();
  return code;
}

}  // namespace

const World& world() {
  return *shared_world;
}

Communicator& communicator() {
  return *shared_communicator;
}

}  // namespace rehearse

int main(int argc, char** argv) {
  return rehearse::run(argc, argv);
}
