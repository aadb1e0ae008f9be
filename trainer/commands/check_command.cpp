#include <CLI/CLI.hpp>
#include <iostream>

#include "trainer/base/error.h"
#include "trainer/commands/command.h"
#include "trainer/engine/train_run.h"

namespace rehearse {
namespace {

class CheckCommand : public Command {
 public:
  std::string summary() const override {
    return "check a configuration and print it with every default and its origin";
  }
  std::string examples() const override {
    return "  rehearse check configs/quickstart.yaml\n"
           "  rehearse check configs/quickstart.yaml --set batch.seconds=240 --plain > resolved.yaml";
  }
  void declare(CLI::App& app) override {
    app.add_option("CONFIG", config_path_, "YAML file of the run")->required();
    app.add_option("--set", overrides_, "key=value over the file (repeatable)")->allow_extra_args(false);
    app.add_flag("--plain", is_plain_, "without the origins");
  }
  int run() override {
    std::cout << check_config(config_path_, overrides_, !is_plain_);
    return kExitOk;
  }

 private:
  std::string config_path_;
  std::vector<std::string> overrides_;
  bool is_plain_ = false;
};

REHEARSE_COMMAND("check", CheckCommand);

}  // namespace
}  // namespace rehearse
