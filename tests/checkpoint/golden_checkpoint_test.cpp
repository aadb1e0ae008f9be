// Checkpoints of every format version that was ever written: tests/golden/checkpoint_v<N>.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/checkpoint_report.h"

namespace rehearse {
namespace {

class GoldenCheckpoint : public ::testing::TestWithParam<int> {
 protected:
  static fs::path path() {
    return fs::path(REHEARSE_SOURCE_DIR) / concat("tests/golden/checkpoint_v", GetParam()) / "step-00000160";
  }
};

TEST_P(GoldenCheckpoint, LoadsWithAllItsParts) {
  const LoadedCheckpoint loaded = load_checkpoint(path(), true);
  EXPECT_EQ(loaded.step, 160u);
  size_t count = 0;
  double sum = 0;
  for (const auto& [name, tensor] : loaded.model) {
    count += tensor.values.size();
    for (float value : tensor.values) sum += static_cast<double>(std::abs(value));
  }
  EXPECT_EQ(loaded.model.size(), 21u);
  EXPECT_EQ(count, 3640u);
  EXPECT_NEAR(sum, 914.616, 0.001);
  EXPECT_THAT(loaded.model, ::testing::Contains(::testing::Key("head.weight")));
  ASSERT_EQ(loaded.optimizer.size(), 2u);
  EXPECT_EQ(loaded.optimizer.at("exp_avg").values.size(), loaded.optimizer.at("exp_avg_sq").values.size());
  EXPECT_EQ(loaded.state.array<uint64_t>("sampler.ids").size(), 48u);
  EXPECT_EQ(loaded.state.values.at("progress").at("draws"), 1702);
  for (const char* name : {"config.yaml", "tokenizer.txt", "front_end.json", "state.json"})
    EXPECT_THAT(loaded.files, ::testing::Contains(::testing::Key(name)));
}

TEST_P(GoldenCheckpoint, IsOfTheVersionThatItsFolderSays) {
  const auto manifest = nlohmann::json::parse(read_text(path() / "MANIFEST.json"));
  EXPECT_EQ(manifest.at("version"), GetParam());
  EXPECT_EQ(manifest.contains("sha256"), GetParam() >= 2);
  EXPECT_THAT(describe_verified(path()), ::testing::HasSubstr("whole; step 160, 7 files"));
}

INSTANTIATE_TEST_SUITE_P(Versions, GoldenCheckpoint, ::testing::Values(1, 2));

}  // namespace
}  // namespace rehearse
