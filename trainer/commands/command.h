// A verb of the command line: one file in trainer/commands, found through the registry of commands.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace rehearse {

// declare() adds options bound to members; run() does the work and returns an exit code, or throws Error.
class Command {
 public:
  virtual ~Command() = default;
  virtual std::string summary() const = 0;   // one line for `rehearse --help`
  virtual std::string examples() const = 0;  // shown under the options: whole command lines
  virtual void declare(CLI::App& app) = 0;
  virtual int run() = 0;
};

using CommandFactory = std::function<std::unique_ptr<Command>()>;
struct CommandEntry {
  std::string name;
  CommandFactory create;
};
// Filled by static initialisers before main.
std::vector<CommandEntry>& command_entries();

}  // namespace rehearse

#define REHEARSE_COMMAND(name, Class)                                                          \
  [[maybe_unused]] static const bool kCommand##Class = [] {                                    \
    ::rehearse::command_entries().push_back({name, [] { return std::make_unique<Class>(); }}); \
    return true;                                                                               \
  }()
