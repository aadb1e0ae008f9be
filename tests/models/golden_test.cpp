// Blocks, front-ends and the CTC loss against tests/golden/blocks (plain PyTorch in double, stored as float).
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "data/speech/features/features.h"
#include "models/ops/ctc_loss.h"
#include "tests/models/tensor_support.h"
#include "trainer/base/safetensors.h"

namespace rehearse {
namespace {

using namespace testing_support;

struct Golden {
  Safetensors file;
  explicit Golden(const std::string& path) : file(Safetensors::read(path)) {}

  at::Tensor tensor(const std::string& name) const {
    const TensorView& view = file.at(name);
    at::Tensor x = at::empty(view.shape, at::kFloat);
    std::memcpy(x.mutable_data_ptr<float>(), view.bytes.data(), view.bytes.size());
    return x;
  }
  std::vector<int64_t> numbers(const std::string& key) const { return nlohmann::json::parse(file.metadata().at(key)); }
};

std::vector<std::string> files_with(const std::string& prefix) {
  std::vector<std::string> paths;
  for (const auto& entry : fs::directory_iterator(fs::path(REHEARSE_SOURCE_DIR) / "tests/golden/blocks"))
    if (entry.path().filename().string().rfind(prefix, 0) == 0) paths.push_back(entry.path().string());
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::string stem_of(const testing::TestParamInfo<std::string>& info) {
  return fs::path(info.param).stem().string();
}

// Rounding of float only: the reference was computed in double. Gradients sum over up to 52 frames.
constexpr double kTolerance = 1e-5;

struct GoldenBlock : testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Files, GoldenBlock, testing::ValuesIn(files_with("block_")), stem_of);

TEST_P(GoldenBlock, EqualsPyTorchInOutputAndGradients) {
  const Golden golden(GetParam());
  at::Tensor input = golden.tensor("input").set_requires_grad(true);
  BuiltBlock built(golden.file.metadata().at("yaml"), input.size(2), at::kFloat);
  size_t num_parameters = 0;
  for (const auto& [name, view] : golden.file.tensors()) num_parameters += name.rfind("parameter.", 0) == 0;
  ASSERT_EQ(num_parameters, built.store.parameters().size());
  const auto stored_name = [](const std::string& name) { return name.substr(std::string("blocks.3.").size()); };
  for (Parameter& parameter : built.store.parameters())
    parameter.tensor.detach().copy_(golden.tensor("parameter." + stored_name(parameter.name)));
  const std::vector<int64_t> lengths = golden.numbers("lengths");
  const Sequence output = built.block->forward({input, lengths}, training_context({1, 2, 3}));
  EXPECT_EQ(output.lengths, golden.numbers("output_lengths"));
  const at::Tensor expected = golden.tensor("output");
  EXPECT_LE(difference(output.x, expected), kTolerance * (1 + largest(expected)));
  (output.x * golden.tensor("upstream")).sum().backward();
  for (size_t b = 0; b < lengths.size(); ++b) {
    const at::Tensor gradient = golden.tensor("input_gradient")[static_cast<int64_t>(b)];
    EXPECT_LE(
        difference(input.grad()[static_cast<int64_t>(b)].slice(0, 0, lengths[b]), gradient.slice(0, 0, lengths[b])),
        kTolerance * (1 + largest(gradient)));
  }
  for (Parameter& parameter : built.store.parameters()) {
    const at::Tensor gradient = golden.tensor("gradient." + stored_name(parameter.name));
    EXPECT_LE(difference(parameter.tensor.grad(), gradient), kTolerance * (1 + largest(gradient))) << parameter.name;
  }
}

std::string text_of(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// What the golden files with this prefix hold, by a key of their YAML line.
std::set<std::string> golden_values(const std::string& prefix, const std::string& key) {
  std::set<std::string> values;
  for (const std::string& path : files_with(prefix)) {
    const auto line = nlohmann::json::parse(Golden(path).file.metadata().at("yaml"));
    if (line.contains(key)) values.insert(line.at(key).get<std::string>());
  }
  return values;
}

// A block that computes something else passes conformance; only these files know what it should compute.
TEST(Golden, EveryRegisteredBlockNormAndFrontEndHasAFileAndARow) {
  const std::string page = text_of(fs::path(REHEARSE_SOURCE_DIR) / "models/README.md");
  const auto expect_known = [&](const std::string& name, const std::set<std::string>& golden, const std::string& row) {
    EXPECT_TRUE(golden.contains(name)) << name << " has no case in tests/golden/blocks/make.py";
    EXPECT_NE(page.find(row), page.npos) << name << " has no \"" << row << "\" in models/README.md";
  };
  for (const auto& [name, entry] : Registry<Block>::instance().entries())
    expect_known(name, golden_values("block_", "type"), "| `" + name + "` |");
  for (const auto& [name, entry] : Registry<Features>::instance().entries())
    expect_known(name, golden_values("features_", "type"), "- `" + name + "`: ");
  for (const char* norm : {"layer", "group", "batch", "none"})
    expect_known(norm, golden_values("block_", "norm"), concat("`", norm, "`"));
  for (const char* activation : {"relu", "silu", "none"})
    expect_known(activation, golden_values("block_", "activation"), concat("`", activation, "`"));
  EXPECT_NE(page.find("- Head `ctc`: "), page.npos);
}

// The name that old checkpoints have.
TEST(Golden, GroupsOfANormAreReadUnderTheirFirstNameToo) {
  const at::Tensor x = noise({1, 9, 8}, 3, at::kFloat);
  const auto output = [&](const std::string& groups) {
    BuiltBlock built("{type: conv, channels: 8, kernel: 1, norm: group, " + groups + "}", 8, at::kFloat);
    return built.block->forward({x, {9}}, {}).x;
  };
  EXPECT_TRUE(at::equal(output("groups: 2"), output("norm_groups: 2")));
  EXPECT_FALSE(at::equal(output("norm_groups: 4"), output("norm_groups: 2")));
}

struct GoldenFeatures : testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Files, GoldenFeatures, testing::ValuesIn(files_with("features_")), stem_of);

TEST_P(GoldenFeatures, EqualPyTorch) {
  const Golden golden(GetParam());
  Config config = Config::parse(golden.file.metadata().at("yaml"));
  const std::unique_ptr<Features> features = build_features(config.root(), {16000});
  const std::vector<int64_t> sizes = golden.numbers("num_samples");
  const at::Tensor samples = golden.tensor("samples");
  for (at::ScalarType type : {at::kFloat, at::kDouble}) {
    const FeatureBatch batch = features->compute(samples.to(type), sizes);
    for (size_t b = 0; b < sizes.size(); ++b) {
      const at::Tensor expected = golden.tensor(concat("features.", b)).to(type);
      const at::Tensor real = batch.x[static_cast<int64_t>(b)].slice(0, 0, batch.lengths[b]);
      // A transform in float errs by 1e-7 of the loudest bin; the logarithm magnifies that in quiet bins.
      EXPECT_LE(difference(real, expected), type == at::kFloat ? 2e-3 : 1e-6);
      EXPECT_LE((real - expected).abs().mean().item<double>(), type == at::kFloat ? 1e-5 : 1e-6);
    }
  }
}

TEST(GoldenCtc, EqualsPyTorchInLossAndGradient) {
  const Golden golden(files_with("ctc").at(0));
  at::Tensor logits = golden.tensor("logits").set_requires_grad(true);
  const std::vector<std::vector<int32_t>> targets = nlohmann::json::parse(golden.file.metadata().at("targets"));
  const CtcLoss loss = ctc_loss(logits, golden.numbers("lengths"), targets, 6, {1, 1, 1, 1});
  const at::Tensor expected = golden.tensor("losses");
  for (int64_t b = 0; b < 4; ++b) EXPECT_NEAR(loss.losses[static_cast<size_t>(b)], expected[b].item<float>(), 1e-5);
  loss.sum.backward();
  EXPECT_LE(difference(logits.grad(), golden.tensor("gradient")), 2e-6);
}

}  // namespace
}  // namespace rehearse
