#include "trainer/device/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/speech/speech_batch.h"
#include "models/torch_prelude.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(OnDevice, TooLittleMemoryNamesTheBatchAndTheKeyToLower) {
  SpeechBatch batch;
  batch.num_samples = {16000, 48000};
  batch.max_samples = 48000;
  const auto work = [] { C10_THROW_ERROR(OutOfMemoryError, "CUDA out of memory"); };
  try {
    on_device(batch, "batch.seconds", work);
    FAIL() << "expected an error";
  } catch (const CommError& failure) {
    EXPECT_THAT(failure.what(), AllOf(HasSubstr("a micro-batch of 2 utterances, longest 3 s"),
                                      HasSubstr("4 s of audio (6 s padded)"), HasSubstr("lower batch.seconds")));
  }
}

TEST(OnDevice, OtherErrorsPassThrough) {
  EXPECT_THROW(on_device(Batch{}, "batch.seconds", [] { throw DataError("no such file"); }), DataError);
}

TEST(PrecisionWarning, IsForProcessorsWithoutTheInstructions) {
  EXPECT_THAT(precision_warning(Precision::kBfloat16, at::kCPU, false), HasSubstr("bfloat16 is slower than float32"));
  EXPECT_THAT(precision_warning(Precision::kFloat16, at::kCPU, false), HasSubstr("float16 is slower than float32"));
  EXPECT_EQ(precision_warning(Precision::kBfloat16, at::kCPU, true), "");
  EXPECT_EQ(precision_warning(Precision::kFull, at::kCPU, false), "");
  EXPECT_EQ(precision_warning(Precision::kBfloat16, at::Device(at::kCUDA, 0), false), "");
}

TEST(HasInstructions, LooksForTheWholeNameOfTheFlag) {
  const std::string vectors = "model name\t: A\nflags\t\t: avx2 avx512_bf16 amx_fp16\n";
  EXPECT_TRUE(has_instructions_for(Precision::kBfloat16, vectors));
  EXPECT_TRUE(has_instructions_for(Precision::kFloat16, vectors));
  const std::string older = "flags\t\t: avx avx2 avx512f not_bf16 bf16x\n";
  EXPECT_FALSE(has_instructions_for(Precision::kBfloat16, older));
  EXPECT_FALSE(has_instructions_for(Precision::kFloat16, older));
  EXPECT_TRUE(has_instructions_for(Precision::kFull, older));
  EXPECT_TRUE(has_instructions_for(Precision::kFloat16, ""));
  EXPECT_TRUE(has_instructions_for(Precision::kBfloat16, "Features\t: fp asimd asimdhp bf16\n"));
}

}  // namespace
}  // namespace rehearse
