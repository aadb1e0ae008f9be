#include "trainer/engine/guards/heaviest_batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "data/text/tokenizer.h"
#include "models/torch_prelude.h"
#include "tests/data/text/text_support.h"
#include "tests/support/toy_run.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

class HeaviestBatch : public ::testing::Test {
 protected:
  HeaviestBatch() {
    const std::string at = folder_.path().string() + "/";
    write_toy_set(folder_.path(), "train.jsonl", "loud", {"ab", "abcd abcd", "abc", "abcd abc", "d"});
    train_tokenizer("char", 0, {"abcd "}, at + "characters.txt");
    std::ofstream(at + "config.yaml") << "data: {train: [" << at << "train.jsonl], tokenizer: " << at
                                      << "characters.txt}\n"
                                      << "features: {channels: 16, spec_augment: {time_masks: 1}}\n"
                                      << "model: {blocks: [{type: subsample, channels: 16, factor: 4, norm: batch},"
                                         " {type: separable, channels: 16, kernel: 5, norm: batch, dropout: 0.1}]}\n"
                                      << "batch: {seconds: 10, micro_batches: 2}\nbudget: {steps: 1}\n";
    config_ = std::make_unique<Config>(Config::load(at + "config.yaml", {}));
    parts_ = std::make_unique<RunParts>(*config_, at + "config.yaml", RunParts::Place{});
  }
  MicroBatch heaviest() const { return heaviest_batch(parts_->training->dataset, parts_->options.batch); }
  // What one more micro-batch would do to this model: its loss and gradients.
  std::pair<double, at::Tensor> learned() {
    const std::unique_ptr<Batch> batch = parts_->training->load(heaviest(), {});
    parts_->model->arena().begin_update();
    const TaskOutput output = parts_->model->task().forward(*batch, {true, 1, 3, batch->ids});
    output.loss_sum.backward();
    return {output.loss_sum.item<double>(), parts_->model->arena().gradients().clone()};
  }

  TemporaryFolder folder_{"heaviest"};
  std::unique_ptr<Config> config_;
  std::unique_ptr<RunParts> parts_;
};

TEST_F(HeaviestBatch, HoldsTheLongestUtterancesThatFit) {
  const MicroBatch batch = heaviest();
  ASSERT_EQ(batch.draws.size(), 2u) << "two of 2.2 s fit into 10 s / 2";
  for (const Draw& draw : batch.draws) EXPECT_GE(parts_->training->dataset.cost[draw.utterance], 2);
  EXPECT_NEAR(padded_cost(parts_->training->dataset, batch), 4.4, 0.5);
}

TEST_F(HeaviestBatch, OfATrialNothingStays) {
  Arena& arena = parts_->model->arena();
  ASSERT_GT(arena.buffers().numel(), 0) << "batch norms have statistics";
  const at::Tensor parameters = arena.parameters().clone(), buffers = arena.buffers().clone();
  const auto before = learned();
  arena.begin_update();
  const TaskOutput output = try_batch({parts_->options, *parts_->model}, *parts_->training->load(heaviest(), {}));
  EXPECT_GT(output.examples.at(0).loss, 0) << "it was tried";
  EXPECT_TRUE(at::equal(arena.parameters(), parameters));
  EXPECT_TRUE(at::equal(arena.buffers(), buffers));
  EXPECT_EQ(arena.gradients().abs().max().item<float>(), 0);
  const auto after = learned();
  EXPECT_EQ(after.first, before.first);
  EXPECT_TRUE(at::equal(after.second, before.second));
}

}  // namespace
}  // namespace rehearse
