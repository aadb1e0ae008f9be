// The noise that a keypoints model is looked at with, and what one of its blocks sees.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/observed_cost.h"
#include "tests/tasks/keypoints/keypoints_support.h"

namespace rehearse::keypoints {
namespace {

using ::testing::HasSubstr;

TEST(KeypointsProbe, IsABatchOfPicturesThatTheModelLearnsFromAndAnswers) {
  TaskFixture fixture;
  const auto task = fixture.task();
  Probe probe = *task->probe({.batch = 3});
  EXPECT_EQ(probe.input.x.sizes(), at::IntArrayRef({3, task->layout().height, task->layout().width}));
  EXPECT_EQ(probe.frame_ms, 0);
  EXPECT_EQ(task->probe({.budget = 5.5})->input.x.size(0), 5);
  EXPECT_EQ(task->probe({.budget = 0.5})->input.x.size(0), 1);

  ForwardContext context;
  context.is_training = true;
  context.ids = {1, 2, 3};
  const at::Tensor loss = probe.loss(probe.model->forward(probe.input, context));
  loss.backward();
  EXPECT_GT(loss.item<double>(), 0);
  for (const Parameter& parameter : task->store().parameters()) EXPECT_TRUE(parameter.tensor.grad().defined());
  const at::Tensor answer = probe.answer(Precision::kFull);
  EXPECT_EQ(answer.sizes(), at::IntArrayRef({3, static_cast<int64_t>(2 * task->layout().num_points())}));
}

TEST(KeypointsProbe, AConvolutionSeesItsKernelAndADenseLayerItsFrames) {
  TaskFixture fixture;
  const auto task = fixture.task();
  const Probe probe = *task->probe({.batch = 1});
  const auto fields = receptive_fields(*probe.model, probe.input.x.size(2), probe.input.x.size(1));
  EXPECT_EQ(fields[0], 3);
  EXPECT_EQ(fields.back(), task->layout().height > 6 ? 6 : 0) << "four frames of a kernel of three";
}

TEST(KeypointsProbe, SecondsAreRefused) {
  TaskFixture fixture;
  const auto task = fixture.task();
  EXPECT_THAT(failure_of<ConfigError>([&] { task->probe({.seconds = 2}); }),
              HasSubstr("--seconds: expected none, pictures have no duration; found 2"));
}

}  // namespace
}  // namespace rehearse::keypoints
