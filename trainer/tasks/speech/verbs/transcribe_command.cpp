#include <CLI/CLI.hpp>

#include "trainer/commands/command.h"
#include "trainer/commands/number_checks.h"
#include "trainer/tasks/speech/transcribe_run.h"

namespace rehearse {
namespace {

class TranscribeCommand : public Command {
 public:
  std::string summary() const override { return "text of audio files of any length, with times if wanted"; }
  std::string examples() const override {
    return "  rehearse transcribe runs/quickstart call.flac lecture.mp3\n"
           "  rehearse transcribe runs/quickstart call.flac --json | jq -r '.words[] | [.start, .text] | @tsv'\n"
           "  rehearse transcribe runs/quickstart --step 1200 call.flac --logits call.safetensors\n";
  }
  void declare(CLI::App& app) override {
    app.add_option("CHECKPOINT", request_.checkpoint,
                   "checkpoint, or run folder (its best checkpoint, else its newest)")
        ->required();
    app.add_option("FILE", request_.files, "audio files")->required();
    app.add_option("--step", request_.step, "of a run folder, take the checkpoint of this step")->check(at_least(0));
    app.add_flag("--json", request_.as_json, "one JSON object a line: text, words and tokens with times in seconds");
    app.add_option("--logits", request_.logits_path, "write the raw logits [T', V] of each file here (safetensors)");
    app.add_option("--device", request_.device, "where it is computed: cpu or cuda")
        ->check(CLI::IsMember({"cpu", "cuda"}))
        ->capture_default_str();
    app.add_option("--window", request_.windows.window_s, "seconds computed at once; longer files are cut and stitched")
        ->check(number_between(0.5, 3600.0))
        ->capture_default_str();
    app.add_option("--context", request_.windows.context_s, "seconds on each side of a cut that both windows hear")
        ->check(number_between(0.1, 60.0))
        ->capture_default_str();
  }
  int run() override { return transcribe(request_); }

 private:
  TranscribeRequest request_;
};

REHEARSE_COMMAND("transcribe", TranscribeCommand);

}  // namespace
}  // namespace rehearse
