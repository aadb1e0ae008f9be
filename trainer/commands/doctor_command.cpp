#include <CLI/CLI.hpp>

#include "trainer/commands/command.h"
#include "trainer/commands/version.h"
#include "trainer/examine/doctor_run.h"

namespace rehearse {
namespace {

class DoctorCommand : public Command {
 public:
  std::string summary() const override {
    return "examine a run before training: data, CTC feasibility, model, heaviest batch, machine";
  }
  std::string examples() const override {
    return "  rehearse doctor configs/quickstart.yaml\n"
           "  rehearse doctor configs/quickstart.yaml --set batch.seconds=240 --list problems.tsv\n"
           "  launch/run.sh -n 2 -- doctor configs/quickstart.yaml      # with the facts of that launch\n";
  }
  void declare(CLI::App& app) override {
    app.add_option("CONFIG", request_.config_path, "YAML file of the run")->required();
    app.add_option("--set", request_.overrides, "key=value over the file (repeatable)")->allow_extra_args(false);
    app.add_option("--list", request_.list_path,
                   "write every finding here: manifest, domain, audio and reason, separated by tabs");
  }
  int run() override {
    request_.versions = linked_versions();
    return doctor(request_);
  }

 private:
  DoctorRequest request_;
};

REHEARSE_COMMAND("doctor", DoctorCommand);

}  // namespace
}  // namespace rehearse
