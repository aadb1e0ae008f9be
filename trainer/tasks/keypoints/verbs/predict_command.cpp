#include <CLI/CLI.hpp>

#include "trainer/commands/command.h"
#include "trainer/commands/number_checks.h"
#include "trainer/tasks/keypoints/verbs/predict_run.h"

namespace rehearse::keypoints {
namespace {

class PredictCommand : public Command {
 public:
  std::string summary() const override { return "points of faces in pictures, as JSON lines and drawn if wanted"; }
  std::string examples() const override {
    return "  rehearse predict runs/keypoints face.png portrait.pgm\n"
           "  rehearse predict runs/keypoints face.png | jq -r '.points.nose_tip | @tsv'\n"
           "  rehearse predict runs/keypoints corpora/faces/dark/valid.faces.h5 --png predicted > predicted.jsonl\n";
  }
  void declare(CLI::App& app) override {
    app.add_option("CHECKPOINT", request_.checkpoint,
                   "checkpoint, or run folder (its best checkpoint, else its newest)")
        ->required();
    app.add_option("FILE", request_.files, "pictures (PNG, PGM) of any size, or face records (*.faces.h5)")->required();
    app.add_option("--step", request_.step, "of a run folder, take the checkpoint of this step")->check(at_least(0));
    app.add_option("--png", request_.png_folder,
                   "write each picture enlarged into this folder: predicted points red, true ones green");
    app.add_option("--device", request_.device, "where it is computed: cpu or cuda")
        ->check(CLI::IsMember({"cpu", "cuda"}))
        ->capture_default_str();
  }
  int run() override { return predict(request_); }

 private:
  PredictRequest request_;
};

REHEARSE_COMMAND("predict", PredictCommand);

}  // namespace
}  // namespace rehearse::keypoints
