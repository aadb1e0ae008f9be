// One whole update against PyTorch in double precision (tests/golden/update, golden_update.py).
#include <gtest/gtest.h>

#include "data/speech/features/features.h"
#include "models/acoustic_model.h"
#include "models/ops/ctc_loss.h"
#include "models/torch_prelude.h"
#include "tests/support/fake_communicator.h"
#include "trainer/base/registry.h"
#include "trainer/base/safetensors.h"
#include "trainer/engine/update/arena.h"
#include "trainer/engine/update/optimizer.h"
#include "trainer/engine/update/update.h"

namespace rehearse {
namespace {

const fs::path kFolder = fs::path(REHEARSE_SOURCE_DIR) / "tests/golden/update";

at::ScalarType type_of(const std::string& dtype) {
  if (dtype == "I64") return at::kLong;
  if (dtype == "I16") return at::kShort;
  EXPECT_EQ(dtype, "F32");
  return at::kFloat;
}

class GoldenUpdate : public ::testing::Test {
 protected:
  GoldenUpdate()
      : file_(Safetensors::read(kFolder / "update.safetensors")),
        config_(Config::load((kFolder / "config.json").string())) {
    const at::Tensor logits = tensor("logits");
    model_ = std::make_unique<AcousticModel>(
        config_.root().child("model"),
        AcousticModel::Context{
            tensor("features").size(2), logits.size(2), 1, at::TensorOptions().dtype(at::kFloat), {}});
    arena_ = std::make_unique<Arena>(model_->store());
    for (size_t i = 0; i < arena_->segments().size(); ++i)
      arena_->tensor(i).detach().copy_(
          tensor("before." + arena_->segments()[i].name).view(arena_->segments()[i].shape));
    arena_->begin_update();
  }
  at::Tensor tensor(const std::string& name) const {
    const TensorView& view = file_.at(name);
    return at::from_blob(const_cast<std::byte*>(view.bytes.data()), view.shape, type_of(view.dtype)).clone();
  }
  std::vector<int64_t> integers(const std::string& name) const {
    const at::Tensor values = tensor(name).to(at::kLong).contiguous();
    return {values.data_ptr<int64_t>(), values.data_ptr<int64_t>() + values.numel()};
  }
  double number(const std::string& name) const { return tensor(name).item<double>(); }
  std::vector<std::vector<int32_t>> targets() const {
    const std::vector<int64_t> flat = integers("targets");
    std::vector<std::vector<int32_t>> rows;
    size_t at = 0;
    for (int64_t length : integers("target_lengths")) {
      rows.emplace_back();
      for (int64_t i = 0; i < length; ++i) rows.back().push_back(static_cast<int32_t>(flat[at++]));
    }
    return rows;
  }
  Sequence forward() { return model_->forward({tensor("features"), integers("lengths")}, {true, 1, 0, {1, 2, 3}}); }
  CtcLoss loss_of(const Sequence& logits) {
    return ctc_loss(logits.x, logits.lengths, targets(), model_->blank(), {1, 1, 1});
  }
  double num_tokens() const {
    double sum = 0;
    for (int64_t length : integers("target_lengths")) sum += static_cast<double>(length);
    return sum;
  }
  // Largest difference relative to the largest value of the expected tensor.
  static double difference(const at::Tensor& found, const at::Tensor& expected) {
    return ((found.detach() - expected).abs().max() / expected.abs().max().clamp_min(1e-12)).item<double>();
  }

  Safetensors file_;
  Config config_;
  std::unique_ptr<AcousticModel> model_;
  std::unique_ptr<Arena> arena_;
};

TEST_F(GoldenUpdate, EveryParameterOfTheOtherProgramIsOneOfOurs) {
  size_t named = 0;
  for (const auto& [name, view] : file_.tensors()) named += name.starts_with("before.");
  EXPECT_EQ(named, arena_->segments().size());
}

TEST_F(GoldenUpdate, FeaturesFromSamples) {
  const at::Tensor samples = tensor("samples").to(at::kFloat) / 32768;
  const auto features = build_features(config_.root().child("features"), {16000});
  const FeatureBatch batch = features->compute(samples, integers("num_samples"));
  EXPECT_EQ(batch.lengths, integers("lengths"));
  EXPECT_LT((batch.x - tensor("features")).abs().max().item<double>(), 2e-3) << "single precision through a logarithm";
}

TEST_F(GoldenUpdate, LogitsAndLosses) {
  const Sequence logits = forward();
  EXPECT_EQ(logits.lengths, integers("logit_lengths"));
  const at::Tensor expected = tensor("logits");
  for (int64_t b = 0; b < expected.size(0); ++b) {
    const int64_t length = logits.lengths[static_cast<size_t>(b)];
    EXPECT_LT(difference(logits.x[b].slice(0, 0, length), expected[b].slice(0, 0, length)), 1e-5) << "utterance " << b;
  }
  const CtcLoss loss = loss_of(logits);
  const at::Tensor losses = tensor("losses");
  for (int64_t b = 0; b < losses.size(0); ++b)
    EXPECT_NEAR(loss.losses[static_cast<size_t>(b)], losses[b].item<double>(), 1e-4) << b;
  EXPECT_NEAR(loss.sum.item<double>() / num_tokens(), number("loss"), 1e-5);
}

// Single precision against double: sums over some hundred frames and four nonlinear blocks.
TEST_F(GoldenUpdate, GradientsNormAndParametersAfterAdamW) {
  const CtcLoss before_update = loss_of(forward());
  before_update.sum.backward();
  const double tokens = num_tokens();
  for (size_t i = 0; i < arena_->segments().size(); ++i) {
    const Segment& segment = arena_->segments()[i];
    const at::Tensor expected = tensor("gradient." + segment.name).view(segment.shape);
    EXPECT_LT((arena_->tensor(i).grad() / tokens - expected).abs().max().item<double>(), 2e-5 * number("gradient_norm"))
        << segment.name;
  }
  ConfigNode node = config_.root().child("optimizer");
  const double lr = node.number("lr", 0), clip = node.number("clip_norm", 0);
  auto optimizer = Registry<Optimizer>::instance().create(node, {arena_->num_elements()});
  // Normaliser, norm and clipping are the product's; what they have to come to is the other program's.
  FakeCommunicator lone(1);
  Update update({.clip_norm = clip}, *arena_, *optimizer, lone);
  StepTally total;
  total.normalizer = tokens;
  total.loss = before_update.sum.item<double>();
  const Update::Result result = update.apply(total, arena_->gradient_totals().sum_of_squares, lr, 1);
  EXPECT_EQ(result.outcome, Update::Outcome::kApplied);
  EXPECT_NEAR(result.gradient_norm, number("gradient_norm"), 1e-5 * number("gradient_norm"));
  EXPECT_GT(number("gradient_norm"), clip) << "the golden update clips";
  for (size_t i = 0; i < arena_->segments().size(); ++i) {
    const Segment& segment = arena_->segments()[i];
    const at::Tensor after = tensor("after." + segment.name).view(segment.shape);
    const at::Tensor before = tensor("before." + segment.name).view(segment.shape);
    // 1 % of a full step: eps = 1e-4 damps steps of small gradients, so noise there cannot turn into a full step.
    EXPECT_LT((arena_->tensor(i).detach() - after).abs().max().item<double>(), 0.01 * lr) << segment.name;
    EXPECT_GT((after - before).abs().max().item<double>(), 0.1 * lr) << "the golden update moves " << segment.name;
  }
  const at::NoGradGuard no_gradients;
  EXPECT_NEAR(loss_of(forward()).sum.item<double>() / tokens, number("loss_after"), 1e-4);
}

}  // namespace
}  // namespace rehearse
