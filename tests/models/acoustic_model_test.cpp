#include "models/acoustic_model.h"

#include <filesystem>

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

struct Oracle {
  const char* file;
  int64_t classes;  // with the blank
  double published;
  double tolerance;
  int64_t stride;
};

// Networks as their authors count them (configs/oracles/README.md).
TEST(AcousticModel, PublishedNetworksHaveTheirPublishedSizes) {
  const std::string folder = REHEARSE_SOURCE_DIR "/configs/oracles/";
  const std::vector<Oracle> oracles = {
      {"quartznet_15x5.yaml", 29, 18'924'381, 1e-4, 2}, {"quartznet_5x5.yaml", 29, 6.7e6, 0.01, 2},
      {"citrinet_256.yaml", 257, 9.8e6, 0.01, 8},       {"conformer_ctc_s.yaml", 129, 12'995'441, 0, 4},
      {"deep_speech_2.yaml", 29, 35e6, 0.01, 2},        {"wav2letter.yaml", 29, 23'084'779, 0, 2}};
  for (const Oracle& oracle : oracles) {
    Config config = Config::load(folder + oracle.file, {});
    ConfigNode root = config.root();
    const bool is_spectrum = root.child("features").text("type", "log_mel") == "stft";
    const int64_t features = is_spectrum ? 257 : root.child("features").integer("channels", 80, {1, 1024});
    AcousticModel model(root.child("model"), {features, oracle.classes, 3, at::TensorOptions().dtype(at::kFloat), {}});
    const auto found = static_cast<double>(model.num_parameters());
    EXPECT_NEAR(found / oracle.published, 1, oracle.tolerance) << oracle.file << ": " << model.num_parameters();
    EXPECT_EQ(model.stride(), oracle.stride) << oracle.file;
    const Sequence logits = model.forward(noise_batch({50, 80}, 80, features, 1, at::kFloat), {});
    EXPECT_EQ(logits.lengths[1], model.output_length(80));
    EXPECT_TRUE(logits.x.isfinite().all().item<bool>());
  }
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) files += entry.path().extension() == ".yaml";
  EXPECT_EQ(files, oracles.size()) << "every file of " << folder << " is counted";
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

TEST(AcousticModel, KeptWeightsAnswerTheSameBitForBit) {
  Config first = Config::parse(kModel), second = Config::parse(kModel);
  AcousticModel fresh = model_of(first), kept = model_of(second);
  kept.keep_weights();
  const at::NoGradGuard no_gradients;
  const Sequence input = noise_batch({101, 50}, 101, 20, 1, at::kFloat);
  for (const Precision precision : {Precision::kFull, Precision::kBfloat16, Precision::kFull}) {
    ForwardContext context;
    context.precision = precision;
    for (int i = 0; i < 2; ++i) EXPECT_TRUE(kept.forward(input, context).x.equal(fresh.forward(input, context).x)) << i;
  }
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
