// The packing process, killed or out of space at every change that it makes to its folder.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "data/speech/audio/sound_file.h"
#include "data/speech/manifest.h"
#include "data/speech/pack/packed.h"
#include "tests/data/speech/audio_support.h"
#include "tests/support/process.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

using ::testing::HasSubstr;
using testing::TemporaryFolder;
using testing::write_file;

constexpr int kUtterances = 5;  // of 1 s: two a shard
constexpr int kMostChanges = 300;

void write_corpus(const TemporaryFolder& folder) {
  std::string lines;
  for (int i = 0; i < kUtterances; ++i) {
    const std::string file = concat(i, ".wav");
    write_file(folder / file, testing::wav_int16(testing::sine_int16(200 + 50 * i, 16000, 16000), 16000));
    lines +=
        concat(R"({"audio_filepath": ")", file, R"(", "text": "t)", i, R"(", "domain": "d", "duration": 1})", "\n");
  }
  write_file(folder / "m.jsonl", lines);
}

ProcessResult pack(const TemporaryFolder& folder, const std::string& pack_folder, int changes, const std::string& end) {
  ProcessOptions options;
  if (!end.empty())
    options.environment = {{"LD_PRELOAD", REHEARSE_FAILING_DISK},
                           {"REHEARSE_TEST_DISK_FOLDER", pack_folder},
                           {"REHEARSE_TEST_DISK_WRITES", std::to_string(changes)},
                           {"REHEARSE_TEST_DISK_END", end}};
  return run_process({REHEARSE_PACK_ONCE, folder / "m.jsonl", pack_folder}, options);
}

// Whatever is listed can be read, and is the audio it should be.
size_t expect_sound(const TemporaryFolder& folder, const std::string& pack_folder) {
  if (!fs::exists(pack_folder + "/manifest.jsonl")) return 0;
  const AudioReaders readers;
  size_t num_read = 0;
  for (const Utterance& utterance : read_manifest(pack_folder + "/manifest.jsonl")) {
    const std::string original = folder / (utterance.text.substr(1) + ".wav");
    EXPECT_EQ(readers.read(utterance.audio_path, 0, 0, 16000), readers.read(original, 0, 0, 16000));
    ++num_read;
  }
  return num_read;
}

class BrokenDisk : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Ends, BrokenDisk, ::testing::Values("kill", "full"),
                         [](const auto& info) { return info.param; });

TEST_P(BrokenDisk, AtAnyChangeLeavesWhatIsListedSoundAndPackingAgainCompletesIt) {
  const std::string end = GetParam();
  TemporaryFolder folder;
  write_corpus(folder);
  int changes = 0, num_partial = 0;
  for (; changes < kMostChanges; ++changes) {
    const std::string pack_folder = folder / concat("pack", changes);
    const ProcessResult broken = pack(folder, pack_folder, changes, end);
    if (broken.exit_code == 0) break;
    if (end == "kill") {
      EXPECT_EQ(broken.signal, SIGKILL) << broken.err;
    } else {
      EXPECT_EQ(broken.exit_code, 4) << changes << ": " << broken.err;
      EXPECT_THAT(broken.err, HasSubstr("No space left on device")) << changes;
      EXPECT_THAT(broken.err, ::testing::Not(HasSubstr("HDF5"))) << changes;
    }
    const size_t num_read = expect_sound(folder, pack_folder);
    num_partial += num_read > 0 && num_read < kUtterances ? 1 : 0;
    const ProcessResult again = pack(folder, pack_folder, 0, "");
    ASSERT_EQ(again.exit_code, 0) << changes << ": " << again.err;
    EXPECT_EQ(expect_sound(folder, pack_folder), static_cast<size_t>(kUtterances)) << changes;
    for (const auto& entry : fs::directory_iterator(pack_folder))
      EXPECT_NE(entry.path().extension(), ".tmp") << changes << ": " << entry.path();
    fs::remove_all(pack_folder);
  }
  EXPECT_LT(changes, kMostChanges) << "it never came to its end";
  EXPECT_GT(changes, 40) << "spool, HDF5, renames and lists of three shards";
  EXPECT_GT(num_partial, 10);
}

}  // namespace
}  // namespace rehearse
