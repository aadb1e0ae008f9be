// rehearse model and rehearse bench infer through the binary.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/data/text/text_support.h"
#include "tests/support/process.h"
#include "tests/support/toy_run.h"
#include "trainer/base/files.h"

namespace rehearse {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class ModelVerbs : public ::testing::Test {
 protected:
  static std::string config() { return (toy_folder() / "config.yaml").string(); }
  static std::string run() { return (toy_folder() / "run").string(); }
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  nlohmann::json figures_of(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"--json", path("figures.json")});
    const ProcessResult result = run_rehearse(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return nlohmann::json::parse(read_text(path("figures.json")));
  }
  TemporaryFolder folder_{"model"};
};

// The toy model: subsample by 4 to 32 channels, one separable block of kernel 9, six classes; 32 features.
TEST_F(ModelVerbs, ARowPerBlockHeadAndLossWithWhatWasWorkedOutByHand) {
  const nlohmann::json all = figures_of(
      {"model", config(), "--seconds", "2", "--batch", "3", "--no-times", "--set", "model.blocks.1.squeeze_excite=0"});
  EXPECT_EQ(all.at("input"), nlohmann::json({3, 201, 32}));
  EXPECT_DOUBLE_EQ(all.at("frame_ms").get<double>(), 10);
  EXPECT_FALSE(all.contains("whole_s"));
  const nlohmann::json& stages = all.at("stages");
  ASSERT_EQ(stages.size(), 4u);
  EXPECT_EQ(stages[0].at("output"), nlohmann::json({3, 51, 32}));
  EXPECT_EQ(stages[0].at("total_stride"), 4);
  EXPECT_EQ(stages[0].at("field_frames"), 13);
  EXPECT_EQ(stages[1].at("field_frames"), 13 + 4 * 8);
  EXPECT_EQ(stages[2].at("parameters"), 6 * 33);
  EXPECT_EQ(stages[0].at("forward_flops"), 2.0 * 3 * (101 + 51) * 32 * 5 * 32);
  EXPECT_EQ(stages[0].at("backward_flops"), 2.0 * 3 * (101 + 2 * 51) * 32 * 5 * 32) << "features need no gradient";
  EXPECT_EQ(stages[1].at("forward_flops"), 2.0 * 3 * 51 * (9 * 32 + 32 * 32));
  EXPECT_EQ(stages[1].at("backward_flops"), 2 * 2.0 * 3 * 51 * (9 * 32 + 32 * 32));
  EXPECT_EQ(stages[2].at("forward_flops"), 2.0 * 3 * 51 * 32 * 6);
  EXPECT_GE(stages[1].at("kept_bytes"), 4 * 3 * 51 * 32) << "its result at least";
  EXPECT_EQ(stages[3].at("type"), "CTC");
}

TEST_F(ModelVerbs, TimesOfTheRowsAreThatOfAWholeStep) {
  const nlohmann::json all = figures_of({"model", config(), "--threads", "1"});
  EXPECT_EQ(all.at("input").at(0), 1) << "a micro-batch of 12 s holds one utterance of 15 s";
  EXPECT_EQ(all.at("threads"), 1);
  double sum = 0;
  for (const nlohmann::json& stage : all.at("stages"))
    sum += stage.at("forward_s").get<double>() + stage.at("backward_s").get<double>();
  EXPECT_DOUBLE_EQ(sum, all.at("stages_s").get<double>());
  // A test machine is never quiet; the verb itself says when they are more than 5 % apart.
  EXPECT_NEAR(sum / all.at("whole_s").get<double>(), 1, 0.5);
  EXPECT_GT(all.at("product_flops_per_s"), 1e8);
}

TEST_F(ModelVerbs, TheTableSaysWhatItsFiguresAre) {
  const ProcessResult result = run_rehearse({"model", run(), "--seconds", "1", "--threads", "1"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  for (const char* part :
       {"blocks.1", "[12, 26, 32]", "MFLOP", "kept MiB", "of product %", "a whole step", "the rows add up to"})
    EXPECT_THAT(result.out, HasSubstr(part));
  EXPECT_THAT(result.out, Not(HasSubstr("warning"))) << "its texts fit";
}

TEST_F(ModelVerbs, TextsWithMoreTokensThanFramesAreAWarning) {
  const std::string stride =
      "model.blocks=[{type: subsample, channels: 32, factor: 8}, {type: subsample, channels: 32}]";
  const ProcessResult result = run_rehearse({"model", config(), "--no-times", "--set", stride});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr(" have more tokens and adjacent repeats than output frames, one every 320 ms"));
  EXPECT_THAT(result.out, HasSubstr("lower the stride, or make a vocabulary of longer pieces"));
}

TEST_F(ModelVerbs, WithoutTextsAStrideAboveFourIsMuchForLetters) {
  std::ofstream(path("empty.jsonl")) << "";
  for (const int factor : {4, 8}) {
    const ProcessResult result =
        run_rehearse({"model", config(), "--no-times", "--set", "data.train=[" + path("empty.jsonl") + "]", "--set",
                      "model.blocks.0.factor=" + std::to_string(factor)});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.out.find("a stride of 8 is much for a vocabulary of letters") != std::string::npos, factor == 8)
        << result.out;
  }
}

TEST_F(ModelVerbs, BenchInferMeasuresAConfigurationAndACheckpoint) {
  for (const std::string& model : {config(), run()}) {
    const nlohmann::json all = figures_of(
        {"bench", "infer", model, "--seconds", "2", "--batch", "2", "--iterations", "7", "--precision", "bfloat16"});
    EXPECT_NEAR(all.at("real_time_factor").get<double>() * all.at("cost_per_s").get<double>(), 1, 1e-9);
    EXPECT_GT(all.at("p50_s"), 0);
    EXPECT_LE(all.at("p50_s"), all.at("p95_s"));
    EXPECT_LE(all.at("p95_s"), all.at("p99_s"));
    EXPECT_EQ(all.at("p99_s"), all.at("slowest_s")) << "of seven";
    EXPECT_GT(all.at("allocations"), 0);
    EXPECT_EQ(all.at("precision"), "bfloat16");
  }
  const ProcessResult result = run_rehearse({"bench", "infer", run(), "--seconds", "1", "--threads", "1"});
  EXPECT_THAT(result.out, HasSubstr("batch of 1 x 1 s; 1 thread, float32; 20 passes"));
  EXPECT_THAT(result.out, HasSubstr("real-time factor "));
}

TEST_F(ModelVerbs, WrongOptionsExitWithTwoAndSayWhatWasExpected) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> lines = {
      {{"bench", "infer"}, "bench infer: expected a configuration, checkpoint or run folder; found none"},
      {{"bench", "infer", config(), "--min", "4"},
       "bench infer: expected no --min; found one; it belongs to bench comm"},
      {{"bench", "comm", "--threads", "2"}, "bench comm: expected no --threads; found one; it belongs to bench infer"},
      {{"bench", "infer", run(), "--set", "seed=2"}, "--set: expected a configuration (*.yaml) to change; found"},
      {{"bench", "infer", config(), "--precision", "float8"}, "--precision"},
      {{"model", config(), "--seconds", "0"}, "--seconds"},
      {{"model", config(), "--set", "model.blocks.1.kernl=3"}, "kernl"},
      {{"model", path("no.yaml")}, "no.yaml"}};
  for (const auto& [line, expected] : lines) {
    const ProcessResult result = run_rehearse(line);
    EXPECT_EQ(result.exit_code, 2) << line.back() << result.out;
    EXPECT_THAT(result.err, HasSubstr(expected));
  }
}

}  // namespace
}  // namespace rehearse
