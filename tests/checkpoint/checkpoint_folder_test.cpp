// The folder of a run's checkpoints: what is listed, what is meant, what goes and what is only set aside.
#include "trainer/checkpoint/checkpoint_folder.h"

#include <gmock/gmock.h>

#include "tests/checkpoint/checkpoint_fixture.h"

namespace rehearse {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class CheckpointFolder : public ::testing::Test {
 protected:
  fs::path save(uint64_t step) { return save_checkpoint(SmallCheckpoint(step, 30).contents, folder(), files_); }
  const fs::path& folder() const { return folder_.path(); }
  std::vector<uint64_t> steps() const {
    std::vector<uint64_t> found;
    for (const fs::path& path : list_checkpoints(folder())) found.push_back(load_checkpoint(path, true).step);
    return found;
  }

  TemporaryFolder folder_{"checkpoints"};
  FileLayer files_;
};

TEST_F(CheckpointFolder, RotationKeepsTheNewestTheBestAndEveryNth) {
  for (uint64_t step : {10, 20, 25, 30, 40, 50}) save(step);
  mark_best(folder() / "step-00000020", files_);
  EXPECT_THAT(rotate_checkpoints(folder(), 50, {.keep_last = 2, .keep_every_steps = 25}, files_), IsEmpty());
  EXPECT_THAT(steps(), ElementsAre(50, 40, 25, 20));
  mark_best(folder() / "step-00000050", files_);
  rotate_checkpoints(folder(), 50, {.keep_last = 1}, files_);
  EXPECT_THAT(steps(), ElementsAre(50));
}

TEST_F(CheckpointFolder, RotationKeepsTheLastGoodOneOfARunThatLeavesOutItsUpdates) {
  for (uint64_t step : {10, 20, 30, 40, 50}) save(step);
  rotate_checkpoints(folder(), 50, {.keep_last = 2, .kept_step = 20}, files_);
  EXPECT_THAT(steps(), ElementsAre(50, 40, 20));
  rotate_checkpoints(folder(), 50, {.keep_last = 2, .kept_step = 50}, files_);
  EXPECT_THAT(steps(), ElementsAre(50, 40));
}

// A run that resumed from 20 because 40 was torn, and saves 30: 40 must not count as the one that is kept.
TEST_F(CheckpointFolder, RotationNeverGivesUpTheOneJustSavedForALaterTornOne) {
  for (uint64_t step : {10, 20, 30, 40}) save(step);
  overwrite(folder() / "step-00000040/model.safetensors", {});
  rotate_checkpoints(folder(), 30, {.keep_last = 1}, files_);
  EXPECT_THAT(names_in(folder()), ElementsAre("step-00000030", "step-00000040"));
  std::vector<std::string> refused;
  EXPECT_EQ(load_newest(folder(), refused).value().step, 30u);
}

TEST_F(CheckpointFolder, ARunFolderMeansTheBestElseTheNewest) {
  const fs::path run = folder() / "run";
  save_checkpoint(SmallCheckpoint(1, 30).contents, run / "checkpoints", files_);
  save_checkpoint(SmallCheckpoint(2, 30).contents, run / "checkpoints", files_);
  EXPECT_EQ(load_checkpoint(run, false).step, 2u);
  mark_best(run / "checkpoints/step-00000001", files_);
  EXPECT_EQ(load_checkpoint(run, false).step, 1u);
  EXPECT_EQ(load_checkpoint(run / "checkpoints", false).step, 1u);
  EXPECT_EQ(find_checkpoint(run, Which::kNewest), run / "checkpoints/step-00000002") << "what a resume goes on from";
  EXPECT_THROW(find_checkpoint(folder() / "nothing", Which::kBest), DataError);
}

TEST_F(CheckpointFolder, ForeignAndUnfinishedFoldersAreNotListed) {
  save(7);
  for (const char* name : {"step-", "step-12x", ".step-00000009.tmp", "other"}) fs::create_directories(folder() / name);
  overwrite(folder() / "step-00000011", {});
  EXPECT_THAT(list_checkpoints(folder()), ElementsAre(folder() / "step-00000007"));
  EXPECT_THAT(list_checkpoints(folder() / "absent"), IsEmpty());
}

// Resumed from 20: what comes after belongs to a course that is given up, and the next auto must not go back to it.
TEST_F(CheckpointFolder, WhatCameAfterAResumedStepIsSetAsideAndNeverChosen) {
  for (uint64_t step : {10, 20, 30, 40}) save(step);
  mark_best(folder() / "step-00000040", files_);
  EXPECT_THAT(set_aside_after(folder(), 20, files_),
              ElementsAre(folder() / "aside-step-00000040", folder() / "aside-step-00000030"));
  EXPECT_THAT(steps(), ElementsAre(20, 10));
  EXPECT_EQ(find_checkpoint(folder(), Which::kBest), folder() / "step-00000020") << "the best was of the other course";
  EXPECT_EQ(find_checkpoint(folder(), Which::kNewest), folder() / "step-00000020");
  EXPECT_THAT(list_set_aside(folder()),
              ElementsAre(folder() / "aside-step-00000030", folder() / "aside-step-00000040"));
  EXPECT_EQ(load_checkpoint(folder() / "aside-step-00000040", true).step, 40u) << "nothing is lost";
  save(30);
  EXPECT_THAT(set_aside_after(folder(), 20, files_), ElementsAre(folder() / "aside-step-00000030.2"));
  rotate_checkpoints(folder(), 20, {.keep_last = 1}, files_);
  EXPECT_THAT(names_in(folder()),
              ElementsAre("aside-step-00000030", "aside-step-00000030.2", "aside-step-00000040", "step-00000020"));
  EXPECT_THAT(set_aside_after(folder(), 20, files_), IsEmpty());
}

TEST_F(CheckpointFolder, TheBestOfAnEarlierStepStaysWhenLaterOnesAreSetAside) {
  for (uint64_t step : {10, 20, 30}) save(step);
  mark_best(folder() / "step-00000010", files_);
  set_aside_after(folder(), 20, files_);
  EXPECT_EQ(find_checkpoint(folder(), Which::kBest), folder() / "step-00000010");
}

TEST_F(CheckpointFolder, WhereThereAreNoLinksAFileNamesTheBest) {
  BusyFiles files;
  for (uint64_t step : {10, 20, 30}) save(step);
  mark_best(folder() / "step-00000010", files_);
  mark_best(folder() / "step-00000020", files);
  EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(folder() / "best")));
  EXPECT_EQ(find_checkpoint(folder(), Which::kBest), folder() / "step-00000020");
  rotate_checkpoints(folder(), 30, {.keep_last = 1}, files_);
  EXPECT_THAT(steps(), ElementsAre(30, 20)) << "the best stays";
  mark_best(folder() / "step-00000030", files_);
  EXPECT_EQ(find_checkpoint(folder(), Which::kBest), folder() / "step-00000030");
}

// What is left of a removal that stopped half-way is no checkpoint, and saving the step again is not in its way.
TEST_F(CheckpointFolder, AFolderThatCannotBeRemovedIsInNobodysWay) {
  BusyFiles files;
  for (uint64_t step : {10, 20}) save(step);
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(rotate_checkpoints(folder(), 20, {.keep_last = 1}, files),
                ::testing::Contains(AllOf(HasSubstr(".step-00000010."), HasSubstr("tried again"))));
    EXPECT_THAT(steps(), ElementsAre(20));
    save(10);
    EXPECT_THAT(steps(), ElementsAre(20, 10));
  }
  EXPECT_THAT(rotate_checkpoints(folder(), 20, {.keep_last = 1}, files_), IsEmpty());
  EXPECT_THAT(names_in(folder()), ElementsAre("step-00000020"));
}

}  // namespace
}  // namespace rehearse
