#include "trainer/engine/session.h"

#include <unistd.h>

#include <exception>
#include <iostream>

#include "trainer/base/ending.h"
#include "trainer/base/error.h"
#include "trainer/base/text/printable.h"
#include "trainer/engine/guards/last_words.h"

namespace rehearse {

int run_in_world(const Session& session) {
  World world;
  CommOptions options;
  options.on_failure = [](const std::string& message) {
    say_last_words(message);
    std::cerr << "error: " + message + "\n" << std::flush;
    _exit(kExitComm);
  };
  std::exception_ptr mistake;
  try {
    if (session.prepare) session.prepare(world, options);
    expect_time_to_miss_hosts(world, options);
  } catch (const Error&) {
    mistake = std::current_exception();
  }
  const auto communicator = mistake ? make_communicator(world, options) : session.connect(world, options);
  try {
    if (mistake) std::rethrow_exception(mistake);
    const int code = session.body(world, *communicator);
    communicator->finish();
    world.finish();
    return code;
  } catch (const std::exception& failure) {
    const Ending ending = ending_of(failure);
    communicator->announce_failure(ending.message);
    say_last_words(ending.message);
    // Every rank finds the same mistake in a configuration: one of them says it.
    if (world.rank() == 0 || (ending.code != kExitConfig && ending.code != kExitData))
      std::cerr << printable_lines(
          concat("rehearse: ", world.size() > 1 ? concat("rank ", world.rank(), ": ") : "", ending.message, "\n"));
    std::cout << std::flush;
    std::cerr << std::flush;
    _exit(ending.code);  // peers may be stuck in a collective: no destructor may wait for them
  }
}

}  // namespace rehearse
