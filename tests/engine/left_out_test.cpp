#include "trainer/engine/guards/left_out.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rehearse {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(LeftOut, TheMessageNamesStepRankTensorAndTheLastGoodCheckpoint) {
  LeftOutRun run{.step = 73,
                 .in_row = 50,
                 .at_most = 50,
                 .found_by_rank = {"", "the gradient of head.bias"},
                 .sound_step = 20,
                 .checkpoints = "runs/a/checkpoints"};
  EXPECT_THAT(left_out_message(run),
              AllOf(HasSubstr("optimizer.max_left_out: expected fewer than 50 updates"), HasSubstr("up to step 73"),
                    HasSubstr("on rank 1: the gradient of head.bias;"),
                    HasSubstr("runs/a/checkpoints/step-00000020 and is kept"), HasSubstr("lower optimizer.lr")));
}

TEST(LeftOut, WithoutAGoodCheckpointOrACulpritItSaysSo) {
  const LeftOutRun run{
      .step = 3, .in_row = 2, .at_most = 2, .found_by_rank = {"", ""}, .sound_step = {}, .checkpoints = "c"};
  EXPECT_THAT(left_out_message(run), AllOf(HasSubstr("their sum was not"), HasSubstr("there is no good checkpoint")));
}

}  // namespace
}  // namespace rehearse
