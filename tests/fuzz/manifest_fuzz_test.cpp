#include <gtest/gtest.h>

#include "data/manifest.h"
#include "data/packed.h"
#include "mutation.h"
#include "tests/data/audio_support.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

using testing::TemporaryFolder;
using testing::write_file;

constexpr int kRounds = 250;

TEST(ManifestFuzz, AMutatedManifestIsReadOrRefused) {
  const uint64_t seed = testing::fuzz_seed();
  TemporaryFolder folder;
  const std::string good =
      R"({"audio_filepath": "a/b.wav", "text": "Привет \u00e9", "domain": "d", "duration": 1.5, "offset": 2e-1})"
      "\r\n\n"
      R"({"audio_filepath": "c.wav", "text": "", "domain": "e", "duration": 3, "id": "#00ff", "speaker": null})";
  int refused = 0;
  for (int round = 0; round < kRounds; ++round) {
    write_file(folder / "m.jsonl", testing::mutated(good, RandomKey(seed).with(round)));
    try {
      for (const auto& utterance : read_manifest(folder / "m.jsonl")) {
        EXPECT_GT(utterance.duration_s, 0);
        EXPECT_FALSE(utterance.domain.empty());
      }
    } catch (const DataError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 0) << "seed " << seed;
  EXPECT_LT(refused, kRounds) << "seed " << seed;
}

TEST(ManifestFuzz, MutatedPackContentsAreReadOrRefused) {
  const uint64_t seed = testing::fuzz_seed();
  TemporaryFolder folder;
  const std::string good =
      R"({"format": "rehearse-pack", "version": 1, "sample_rate_hz": 16000, "shards": [{"file": "shard-00000.h5", )"
      R"("sha256": "00", "bytes": 5, "utterances": 1, "samples": 9}]})";
  int refused = 0;
  for (int round = 0; round < kRounds; ++round) {
    write_file(folder / "pack.json", testing::mutated(good, RandomKey(seed).with(round)));
    try {
      read_pack_contents(folder.path());
    } catch (const DataError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 0) << "seed " << seed;
}

}  // namespace
}  // namespace rehearse
