#include "trainer/checkpoint/checkpoint_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "tests/checkpoint/checkpoint_fixture.h"

namespace rehearse {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr double kLong_s = 20;

// Writes wait until the gate is open.
class GatedFiles : public FileLayer {
 public:
  void open() { gate_.set_value(); }
  void write(const fs::path& path, std::span<const std::byte> bytes) override {
    is_open_.wait();
    FileLayer::write(path, bytes);
  }

 private:
  std::promise<void> gate_;
  std::shared_future<void> is_open_{gate_.get_future()};
};

class Writer : public ::testing::Test {
 protected:
  const fs::path& folder() const { return folder_.path(); }
  CheckpointWriter::Options options(int64_t keep_last = 9) const { return {folder(), keep_last, 0}; }
  // The step that a resume would begin with; nothing may be torn.
  uint64_t newest() const {
    std::vector<std::string> refused;
    const auto loaded = load_newest(folder(), refused);
    EXPECT_THAT(refused, IsEmpty());
    return loaded ? loaded->step : 0;
  }

  TemporaryFolder folder_{"writer"};
  FileLayer files_;
};

TEST_F(Writer, WritesTheValuesOfTheMomentItWasAsked) {
  GatedFiles files;
  CheckpointWriter writer(options(), files);
  SmallCheckpoint saved(20);
  const std::vector<float> weights = saved.weights, moments = saved.moments;
  writer.save(saved.contents, {});
  std::fill(saved.weights.begin(), saved.weights.end(), 0.0f);  // training goes on
  std::fill(saved.moments.begin(), saved.moments.end(), 0.0f);
  EXPECT_FALSE(writer.wait_for(0.001));
  EXPECT_THAT(list_checkpoints(folder()), IsEmpty()) << "nothing is visible half-written";
  EXPECT_THAT(writer.take_saved(), IsEmpty());
  files.open();
  ASSERT_TRUE(writer.wait_for(kLong_s));
  const auto told = writer.take_saved();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].step, 20u);
  const LoadedCheckpoint loaded = load_checkpoint(told[0].path, true);
  EXPECT_EQ(loaded.model.at("blocks.0.weight").values, weights);
  EXPECT_EQ(loaded.optimizer.at("exp_avg").values, moments);
  EXPECT_EQ(loaded.state.array<uint32_t>("sampler.visits"), std::vector<uint32_t>(3000, 7));
  EXPECT_THAT(writer.take_saved(), IsEmpty()) << "told once";
}

TEST_F(Writer, ASecondSaveWaitsForTheFirst) {
  GatedFiles files;
  CheckpointWriter writer(options(), files);
  writer.save(SmallCheckpoint(10).contents, {});
  auto second = std::async(std::launch::async, [&] { writer.save(SmallCheckpoint(20, 6000).contents, {}); });
  EXPECT_EQ(second.wait_for(std::chrono::milliseconds(20)), std::future_status::timeout);
  files.open();
  second.get();
  ASSERT_TRUE(writer.wait_for(kLong_s));
  const auto told = writer.take_saved();
  ASSERT_EQ(told.size(), 2u);
  EXPECT_GE(told[1].stall_s, 0.015) << "the wait for the first counts";
  EXPECT_EQ(load_checkpoint(told[0].path, true).model.at("blocks.0.weight").values, SmallCheckpoint(10).weights);
  EXPECT_EQ(load_checkpoint(told[1].path, true).model.at("blocks.0.weight").values, SmallCheckpoint(20, 6000).weights);
}

TEST_F(Writer, ItsEndWaitsForWhatIsInFlight) {
  GatedFiles files;
  std::future<void> opener;
  {
    CheckpointWriter writer(options(), files);
    writer.save(SmallCheckpoint(10).contents, {});
    opener = std::async(std::launch::async, [&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      files.open();
    });
  }
  EXPECT_EQ(newest(), 10u);
}

TEST_F(Writer, AFailureAtAnyOperationIsRaisedByTheNextCallAndTheOldOneStays) {
  FailingFiles counting(-1);
  {
    const TemporaryFolder other("writer");
    CheckpointWriter writer({other.path(), 9, 0}, counting);
    writer.save(SmallCheckpoint(20).contents, {true});
    ASSERT_TRUE(writer.wait_for(kLong_s));
  }
  ASSERT_GT(counting.num_operations(), 11) << "files, list, renames, syncs and best";
  save_checkpoint(SmallCheckpoint(10).contents, folder(), files_);
  for (int fail_at = 0; fail_at < counting.num_operations(); ++fail_at)
    for (bool is_torn : {false, true}) {
      FailingFiles failing(fail_at, is_torn);
      CheckpointWriter writer(options(), failing);
      writer.save(SmallCheckpoint(20).contents, {true});
      try {
        writer.wait_for(kLong_s);
        ADD_FAILURE() << "operation " << fail_at << " did not fail";
      } catch (const CommError& failure) {
        EXPECT_THAT(failure.what(), HasSubstr("no space left, says the test"));
      }
      EXPECT_THAT(writer.take_saved(), IsEmpty()) << "operation " << fail_at;
      EXPECT_GE(newest(), 10u) << "operation " << fail_at;
      fs::remove_all(folder() / "step-00000020");
      fs::remove(folder() / "best");
    }
  CheckpointWriter writer(options(), files_);
  writer.save(SmallCheckpoint(20).contents, {});
  ASSERT_TRUE(writer.wait_for(kLong_s));
  EXPECT_THAT(names_in(folder()), ElementsAre("step-00000010", "step-00000020")) << "leftovers of failures are gone";
}

TEST_F(Writer, AFailureIsRaisedBySaveAndByTakeSavedToo) {
  for (bool by_save : {false, true}) {
    FailingFiles failing(2);
    CheckpointWriter writer(options(), failing);
    writer.save(SmallCheckpoint(20).contents, {});
    if (by_save) {
      EXPECT_THROW(writer.save(SmallCheckpoint(30).contents, {}), CommError);
      continue;
    }
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(kLong_s);
    std::string message;
    while (message.empty() && std::chrono::steady_clock::now() < end) {
      try {
        writer.take_saved();
        std::this_thread::yield();
      } catch (const CommError& failure) {
        message = failure.what();
      }
    }
    EXPECT_THAT(message, HasSubstr("says the test"));
  }
}

// The span names more memory than there is: whoever reads it dies.
TEST_F(Writer, ADiskWithoutRoomIsRefusedBeforeAnythingIsCopied) {
  CheckpointWriter writer(options(), files_);
  SmallCheckpoint huge(10);
  const size_t count = size_t{1} << 50;
  huge.contents.model.push_back({"huge", {1 << 25, 1 << 25}, {huge.weights.data(), count}});
  try {
    writer.save(huge.contents, {});
    ADD_FAILURE() << "four petabytes found room";
  } catch (const CommError& failure) {
    EXPECT_THAT(failure.what(), AllOf(HasSubstr(folder().string()), HasSubstr("expected room for 4503599628"),
                                      HasSubstr("; found "), HasSubstr("free some space")));
  }
  writer.save(SmallCheckpoint(10).contents, {});
  ASSERT_TRUE(writer.wait_for(kLong_s));
  EXPECT_EQ(newest(), 10u);
}

TEST_F(Writer, MovesTheBestAndRotates) {
  CheckpointWriter writer(options(1), files_);
  writer.save(SmallCheckpoint(10, 30).contents, {true});
  for (uint64_t step : {20, 30}) writer.save(SmallCheckpoint(step, 30).contents, {});
  ASSERT_TRUE(writer.wait_for(kLong_s));
  EXPECT_THAT(names_in(folder()), ElementsAre("best", "step-00000010", "step-00000030"));
  EXPECT_EQ(fs::read_symlink(folder() / "best"), "step-00000010");
  writer.save(SmallCheckpoint(40, 30).contents, {true});
  ASSERT_TRUE(writer.wait_for(kLong_s));
  EXPECT_THAT(names_in(folder()), ElementsAre("best", "step-00000040"));
}

TEST_F(Writer, ARunThatComesByAgainReplacesTheStep) {
  for (size_t size : {300, 600}) {
    CheckpointWriter writer(options(), files_);
    writer.save(SmallCheckpoint(20, size).contents, {});
    ASSERT_TRUE(writer.wait_for(kLong_s));
    EXPECT_EQ(load_checkpoint(folder() / "step-00000020", true).optimizer.at("exp_avg").values.size(), size);
  }
  EXPECT_THAT(names_in(folder()), ElementsAre("step-00000020"));
}

TEST_F(Writer, RemovesWhatACrashLeftAndNothingElse) {
  for (const char* name : {".step-00000009.tmp", ".step-00000008.old", ".other.tmp", "step-00000007"})
    fs::create_directories(folder() / name / "inside");
  const CheckpointWriter writer(options(), files_);
  EXPECT_THAT(names_in(folder()), ElementsAre(".other.tmp", "step-00000007"));
}

// A file server keeps a name for a file that somebody has open, so its folder is not empty.
TEST_F(Writer, ARotationThatFailsIsSaidOnceAndTriedAgain) {
  BusyFiles files;
  CheckpointWriter writer(options(1), files);
  for (uint64_t step : {10, 20, 30}) writer.save(SmallCheckpoint(step, 30).contents, {});
  ASSERT_TRUE(writer.wait_for(kLong_s)) << "nothing is raised";
  EXPECT_EQ(newest(), 30u);
  EXPECT_THAT(list_checkpoints(folder()), ElementsAre(folder() / "step-00000030"));
  EXPECT_THAT(writer.take_warnings(),
              ElementsAre(AllOf(HasSubstr(".step-00000010.old"), HasSubstr("Directory not empty"),
                                HasSubstr("tried again at the next save")),
                          HasSubstr(".step-00000020.old")));
  files.is_busy = false;
  writer.save(SmallCheckpoint(40, 30).contents, {});
  ASSERT_TRUE(writer.wait_for(kLong_s));
  EXPECT_THAT(names_in(folder()), ElementsAre("step-00000040"));
  EXPECT_THAT(writer.take_warnings(), IsEmpty());
}

TEST_F(Writer, AFolderThatCannotBeMadeIsACommError) {
  overwrite(folder() / "file", {});
  EXPECT_THROW(CheckpointWriter({folder() / "file/checkpoints", 1, 0}, files_), CommError);
}

}  // namespace
}  // namespace rehearse
