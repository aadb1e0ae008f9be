#include "models/acoustic_model.h"

#include "tests/models/tensor_support.h"

namespace rehearse {
namespace {

using namespace testing_support;

constexpr const char* kModel = R"(
blocks:
  - {type: subsample, channels: 16, factor: 4}
  - {type: separable, channels: 16, kernel: 5, dropout: 0.1}
  - {type: transformer, heads: 2, ff: 24, dropout: 0.1}
head: {type: ctc}
)";

AcousticModel model_of(Config& config, uint64_t seed = 3) {
  return AcousticModel(config.root(), {20, 11, seed, at::TensorOptions().dtype(at::kFloat), {}});
}

TEST(AcousticModel, StatesStrideLengthsAndBlank) {
  Config config = Config::parse(kModel);
  AcousticModel model = model_of(config);
  config.root().expect_all_read();
  EXPECT_EQ(model.stride(), 4);
  EXPECT_EQ(model.blank(), 10);
  for (int64_t frames : {1, 4, 5, 101, 1500}) EXPECT_EQ(model.output_length(frames), (frames - 1) / 4 + 1);
  const Sequence logits = model.forward(noise_batch({101, 50}, 101, 20, 1, at::kFloat), {});
  EXPECT_EQ(logits.x.sizes(), (std::vector<int64_t>{2, 26, 11}));
  EXPECT_EQ(logits.lengths, (std::vector<int64_t>{26, 13}));
}

// Kriman et al. 2020, table 1: 18.9 million with 64 features and 28 characters. Ours has one bias more in each `conv`.
TEST(AcousticModel, QuartzNet15x5HasItsPublishedSize) {
  const std::string common = "bias: false, squeeze_excite: 0, norm: batch";
  std::string blocks =
      "blocks:\n  - {type: separable, channels: 256, kernel: 33, stride: 2, residual: false, " + common + "}\n";
  const std::pair<int, int> kGroups[] = {{256, 33}, {256, 39}, {512, 51}, {512, 63}, {512, 75}};
  for (const auto& [channels, kernel] : kGroups)
    for (int i = 0; i < 3; ++i)
      blocks += concat("  - {type: separable, channels: ", channels, ", kernel: ", kernel,
                       ", repeat: 5, shortcut: projected, ", common, "}\n");
  blocks += "  - {type: separable, channels: 512, kernel: 87, dilation: 2, residual: false, " + common + "}\n";
  Config config =
      Config::parse(blocks + "  - {type: conv, channels: 1024, kernel: 1, norm: batch}\nhead: {type: ctc}\n");
  AcousticModel model(config.root(), {64, 29, 3, at::TensorOptions().dtype(at::kFloat), {}});
  EXPECT_EQ(model.num_parameters(), 18'924'381 + 1024);
  EXPECT_EQ(model.stride(), 2);
}

TEST(AcousticModel, TheTableAddsUpToAllParameters) {
  Config config = Config::parse(kModel);
  AcousticModel model = model_of(config);
  int64_t sum = 0;
  for (const AcousticModel::BlockSummary& row : model.summary(101)) sum += row.num_parameters;
  EXPECT_EQ(sum, model.num_parameters());
  const AcousticModel::BlockSummary first = model.summary(101)[0];
  EXPECT_EQ(first.type, "subsample");
  EXPECT_EQ(first.output_frames, 26);
  EXPECT_EQ(first.num_parameters, 16 * 20 * 5 + 16 * 16 * 5 + 6 * 16);
}

TEST(AcousticModel, EqualSeedsGiveEqualWeights) {
  Config first = Config::parse(kModel), second = Config::parse(kModel), third = Config::parse(kModel);
  AcousticModel a = model_of(first), b = model_of(second), c = model_of(third, 4);
  for (size_t i = 0; i < a.parameters().size(); ++i)
    EXPECT_TRUE(a.parameters()[i].tensor.equal(b.parameters()[i].tensor));
  EXPECT_FALSE(a.parameters()[0].tensor.equal(c.parameters()[0].tensor));
}

TEST(AcousticModel, TrainingWithoutIdsIsABug) {
  Config config = Config::parse(kModel);
  AcousticModel model = model_of(config);
  EXPECT_THROW(model.forward(noise_batch({20}, 20, 20, 1, at::kFloat), {true, 1, 1, {}}), BugError);
}

TEST(AcousticModel, BadOptionsAreConfigErrorsThatSayWhere) {
  for (const char* text :
       {"blocks: []", "blocks: [{type: conv, kernel: 4}]", "blocks: [{type: subsample, factor: 3}]",
        "blocks: [{type: transformer, heads: 3}]", "blocks: [{type: nothing}]",
        "blocks: [{type: conv, norm: group, norm_groups: 7}]", "blocks: [{type: conv}]\nhead: {type: rnnt}",
        "blocks: [{type: separable, channels: 8, squeeze_excite: 9}]"}) {
    Config config = Config::parse(text);
    EXPECT_THROW(model_of(config), ConfigError) << text;
  }
}

TEST(AcousticModel, WhatDoesNotFitTheChannelsIsNamedWithFileAndLine) {
  for (const auto& [block, key] : {std::pair("{type: transformer, heads: 3}", "heads: expected"),
                                   std::pair("{type: conv, norm: group, norm_groups: 7}", "norm_groups: expected")}) {
    Config config = Config::parse(concat("blocks:\n  - ", block), "run.yaml");
    try {
      model_of(config);
      ADD_FAILURE() << "expected a ConfigError of " << block;
    } catch (const ConfigError& error) {
      EXPECT_EQ(std::string(error.what()).rfind(concat("run.yaml:2: blocks[0].", key), 0), 0u) << error.what();
    }
  }
}

}  // namespace
}  // namespace rehearse
