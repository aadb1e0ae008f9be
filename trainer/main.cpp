// rehearse: one verb per file in trainer/commands.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <iostream>

#include "trainer/base/ending.h"
#include "trainer/base/error.h"
#include "trainer/base/text/printable.h"
#include "trainer/base/text/words.h"
#include "trainer/commands/command.h"
#include "trainer/commands/version.h"

namespace rehearse {

std::vector<CommandEntry>& command_entries() {
  static std::vector<CommandEntry> entries;
  return entries;
}

namespace {

// CLI11 would only say that a verb is required.
void expect_known_verb(const std::string& verb) {
  std::vector<std::string> known;
  for (const CommandEntry& entry : command_entries()) known.push_back(entry.name);
  if (verb.starts_with("-") || std::find(known.begin(), known.end(), verb) != known.end()) return;
  const std::string hint = did_you_mean(verb, known);
  throw ConfigError("command line: expected a verb; found \"", verb, "\"", hint.empty() ? ";" : hint,
                    " see rehearse --help");
}

int run_command_line(int argc, char** argv) {
  if (argc > 1) expect_known_verb(argv[1]);
  CLI::App app("rehearse trains speech-to-text on several GPUs or CPU ranks, with a curriculum over domains",
               "rehearse");
  app.require_subcommand(1);
  app.set_version_flag("--version", [] { return version_text(); });
  app.footer("Start with launch/quickstart.sh, or see README.md.");
  auto& entries = command_entries();
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  std::vector<std::pair<CLI::App*, std::unique_ptr<Command>>> commands;
  for (const CommandEntry& entry : entries) {
    auto command = entry.create();
    CLI::App* sub = app.add_subcommand(entry.name, command->summary());
    command->declare(*sub);
    sub->footer("Examples:\n" + command->examples());
    commands.emplace_back(sub, std::move(command));
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& failure) {
    if (failure.get_exit_code() == 0) return app.exit(failure);  // --help, --version
    std::cerr << "rehearse: " << printable(failure.what()) << "; see rehearse --help\n";
    return kExitConfig;
  }
  for (auto& [sub, command] : commands)
    if (sub->parsed()) return command->run();
  return kExitConfig;
}

}  // namespace
}  // namespace rehearse

int main(int argc, char** argv) {
  try {
    return rehearse::run_command_line(argc, argv);
  } catch (const std::exception& failure) {
    const rehearse::Ending ending = rehearse::ending_of(failure);
    std::cerr << "rehearse: " << rehearse::printable_lines(ending.message) << "\n";
    return ending.code;
  }
}
