#include "trainer/checkpoint/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "tests/checkpoint/checkpoint_fixture.h"

namespace rehearse {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class Checkpoint : public ::testing::Test {
 protected:
  fs::path save(uint64_t step, size_t size = 3000) {
    return save_checkpoint(SmallCheckpoint(step, size).contents, folder(), files_);
  }
  const fs::path& folder() const { return folder_.path(); }
  std::vector<uint64_t> steps() const {
    std::vector<uint64_t> found;
    for (const fs::path& path : list_checkpoints(folder())) found.push_back(load_checkpoint(path, true).step);
    return found;
  }
  // The message of the refusal; empty when it loads.
  static std::string refusal(const fs::path& path) {
    try {
      load_checkpoint(path, true);
      return "";
    } catch (const DataError& failure) {
      return failure.what();
    }
  }
  void expect_previous_is_used(const fs::path& damaged_file, const std::string& how) {
    std::vector<std::string> refused;
    const auto loaded = load_newest(folder(), refused);
    ASSERT_TRUE(loaded.has_value()) << how;
    EXPECT_EQ(loaded->step, 10u) << how;
    ASSERT_EQ(refused.size(), 1u) << how;
    EXPECT_THAT(refused[0], HasSubstr(damaged_file.string())) << how;
  }

  static std::vector<std::byte> with_flipped(std::vector<std::byte> bytes, uint64_t bit) {
    bytes[bit / 8] ^= std::byte{1} << (bit % 8);
    return bytes;
  }

  TemporaryFolder folder_{"checkpoint"};
  FileLayer files_;
};

TEST_F(Checkpoint, LoadsWhatWasSaved) {
  const SmallCheckpoint saved(1200);
  const fs::path path = save_checkpoint(saved.contents, folder(), files_);
  EXPECT_EQ(path.filename(), "step-00001200");
  const LoadedCheckpoint loaded = load_checkpoint(path, true);
  EXPECT_EQ(loaded.step, 1200u);
  ASSERT_EQ(loaded.model.size(), 2u);
  EXPECT_EQ(loaded.model.at("blocks.0.weight").values, saved.weights);
  EXPECT_THAT(loaded.model.at("blocks.0.weight").shape, ElementsAre(1000, 3));
  EXPECT_EQ(loaded.optimizer.at("exp_avg").values, saved.moments);
  EXPECT_EQ(loaded.state.values.at("facts"), saved.contents.state.values.at("facts"));
  EXPECT_EQ(loaded.state.array<float>("sampler.cer"), (std::vector<float>{0.5f, 1.0f, 0.0f}));
  EXPECT_EQ(loaded.state.array<uint32_t>("sampler.visits"), std::vector<uint32_t>(3000, 7));
  for (const auto& [name, text] : saved.contents.files) EXPECT_EQ(loaded.files.at(name), text) << name;
}

TEST_F(Checkpoint, EqualContentsGiveEqualBytes) {
  const SmallCheckpoint saved(3);
  const fs::path one = save_checkpoint(saved.contents, folder() / "a", files_);
  const fs::path two = save_checkpoint(saved.contents, folder() / "b", files_);
  for (const std::string& name : names_in(one)) EXPECT_EQ(read_bytes(one / name), read_bytes(two / name)) << name;
}

TEST_F(Checkpoint, WeightsAloneLoadWithoutTheState) {
  const fs::path path = save(5);
  overwrite(path / "curriculum.h5", {});
  overwrite(path / "optimizer.safetensors", {});
  EXPECT_EQ(load_checkpoint(path, false).model.size(), 2u);
  EXPECT_THAT(refusal(path), Not(::testing::IsEmpty()));
}

// One rank of a host reads the checksums; the others need not, but a torn file does not get past them either.
TEST_F(Checkpoint, BySizesAloneATornFileIsRefusedAndAFlippedBitIsLeftToTheNeighbour) {
  const fs::path path = save(5), file = path / "optimizer.safetensors";
  const std::vector<std::byte> whole = read_bytes(file);
  overwrite(file, with_flipped(whole, 8 * whole.size() - 1));
  EXPECT_NE(refusal(path), "");
  EXPECT_EQ(load_checkpoint(path, true, Check::kSizes).optimizer.size(), 1u);
  overwrite(file, {whole.begin(), whole.end() - 1});
  EXPECT_THROW(load_checkpoint(path, true, Check::kSizes), DataError);
}

TEST_F(Checkpoint, ToGoOnTheOptimizerIsCheckedAndReadByTheSlice) {
  const SmallCheckpoint saved(5);
  const fs::path path = save_checkpoint(saved.contents, folder(), files_), file = path / "optimizer.safetensors";
  const LoadedCheckpoint loaded = load_to_go_on(path);
  EXPECT_TRUE(loaded.optimizer.empty());
  std::vector<float> slice(7);
  read_optimizer(loaded, "exp_avg", 3000, 1000, slice);
  EXPECT_TRUE(std::equal(slice.begin(), slice.end(), saved.moments.begin() + 1000));
  read_optimizer(load_checkpoint(path, true), "exp_avg", 3000, 2993, slice);
  EXPECT_TRUE(std::equal(slice.begin(), slice.end(), saved.moments.begin() + 2993));
  EXPECT_THROW(read_optimizer(loaded, "exp_avg", 3001, 0, slice), DataError);
  EXPECT_THROW(read_optimizer(loaded, "exp_avg_sq", 3000, 0, slice), DataError);
  const std::vector<std::byte> whole = read_bytes(file);
  overwrite(file, with_flipped(whole, 8 * whole.size() - 1));
  EXPECT_THROW(load_to_go_on(path), DataError);
  EXPECT_NO_THROW(load_to_go_on(path, Check::kSizes));
  overwrite(file, {whole.begin(), whole.end() - 1});
  EXPECT_THROW(load_to_go_on(path, Check::kSizes), DataError);
}

TEST_F(Checkpoint, ForUseTheTablesLoadWithoutTheOptimizer) {
  const fs::path path = save(5);
  overwrite(path / "optimizer.safetensors", {});
  const LoadedCheckpoint loaded = load_for_use(path);
  EXPECT_TRUE(loaded.optimizer.empty());
  EXPECT_EQ(loaded.state.array<uint32_t>("sampler.visits").size(), 3000u);
}

// With checksums that fit: what is wrong is in the list itself.
TEST_F(Checkpoint, AListWithValuesOfOtherTypesIsADataErrorThatNamesIt) {
  const fs::path path = save(5), list = path / "MANIFEST.json";
  const nlohmann::json whole = nlohmann::json::parse(read_text(list));
  const std::vector<nlohmann::json> values = {
      nullptr, -1, 1.5, "text", true, nlohmann::json::array(), nlohmann::json::object()};
  for (const char* where : {"/format", "/version", "/files", "/files/state.json", "/files/state.json/bytes",
                            "/files/model.safetensors/sha256", "/files/..~1state.json"})
    for (const nlohmann::json& value : values) {
      nlohmann::json damaged = whole;
      damaged["version"] = 1;
      damaged.erase("sha256");
      damaged[nlohmann::json::json_pointer(where)] = value;
      write_text(files_, list, damaged.dump());
      EXPECT_THAT(refusal(path), ::testing::AllOf(HasSubstr(path.string()), Not(HasSubstr("json.exception"))))
          << where << " " << value.dump();
    }
}

TEST_F(Checkpoint, EveryTruncationOfEveryFileIsRefusedByName) {
  save(10);
  const fs::path newest = save(20);
  for (const std::string& name : names_in(newest)) {
    const std::vector<std::byte> whole = read_bytes(newest / name);
    ASSERT_FALSE(whole.empty());
    std::vector<size_t> sizes = {0, whole.size() - 1};
    for (size_t size = 4096; size < whole.size(); size += 4096) sizes.push_back(size);
    for (size_t size : sizes) {
      overwrite(newest / name, {whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size)});
      expect_previous_is_used(newest / name, concat(name, " cut to ", size, " of ", whole.size(), " bytes"));
    }
    overwrite(newest / name, whole);
  }
  EXPECT_EQ(refusal(newest), "") << "whole again";
}

// A sample over all bits of all files.
TEST_F(Checkpoint, ASingleFlippedBitIsRefusedByNameAndThePreviousIsUsed) {
  save(10, 30);
  const fs::path newest = save(20, 30);
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(concat("seed ", seed));
  for (const std::string& name : names_in(newest)) {
    const std::vector<std::byte> whole = read_bytes(newest / name);
    const RandomKey key = RandomKey(seed).with(name);
    for (uint64_t i = 0; i < 30; ++i) {
      const uint64_t bit = key.below(8 * whole.size(), i);
      overwrite(newest / name, with_flipped(whole, bit));
      expect_previous_is_used(newest / name, concat(name, ", bit ", bit));
    }
    overwrite(newest / name, whole);
  }
  EXPECT_EQ(refusal(newest), "") << "whole again";
}

TEST_F(Checkpoint, EverySingleFlippedBitOfTheListIsRefused) {
  const fs::path list = save(20, 30) / "MANIFEST.json";
  const std::vector<std::byte> whole = read_bytes(list);
  for (uint64_t bit = 0; bit < 8 * whole.size(); ++bit) {
    overwrite(list, with_flipped(whole, bit));
    EXPECT_THAT(refusal(list.parent_path()), HasSubstr(list.string())) << "bit " << bit;
  }
}

// Formats before version 2 had no checksum over the list itself.
TEST_F(Checkpoint, AListOfVersion1IsStillRead) {
  const fs::path path = save(20, 30);
  nlohmann::json list = nlohmann::json::parse(read_text(path / "MANIFEST.json"));
  list.erase("sha256");
  list["version"] = 1;
  write_text(files_, path / "MANIFEST.json", list.dump());
  EXPECT_EQ(refusal(path), "");
  list["version"] = 2;
  write_text(files_, path / "MANIFEST.json", list.dump());
  EXPECT_THAT(refusal(path), HasSubstr("expected a list that fits its own SHA-256"));
}

// Crash safety rests on this order; fsync of each file is within write.
TEST_F(Checkpoint, TheListIsWrittenLastAndFoldersAreSyncedBeforeAndAfterTheRename) {
  class Diary : public FileLayer {
   public:
    void write(const fs::path& path, std::span<const std::byte> bytes) override {
      lines.push_back("write " + path.filename().string());
      FileLayer::write(path, bytes);
    }
    void sync_folder(const fs::path& folder) override {
      lines.push_back("sync " + folder.filename().string());
      FileLayer::sync_folder(folder);
    }
    void rename(const fs::path& from, const fs::path& to) override {
      lines.push_back("rename " + from.filename().string() + " " + to.filename().string());
      FileLayer::rename(from, to);
    }
    std::vector<std::string> lines;
  } diary;
  save_checkpoint(SmallCheckpoint(20).contents, folder() / "c", diary);
  ASSERT_GT(diary.lines.size(), 5u);
  EXPECT_THAT(std::vector<std::string>(diary.lines.end() - 4, diary.lines.end()),
              ElementsAre("write MANIFEST.json", "sync .step-00000020.tmp", "rename .step-00000020.tmp step-00000020",
                          "sync c"));
}

TEST_F(Checkpoint, AMissingFileIsRefusedByName) {
  save(10);
  const fs::path newest = save(20);
  for (const std::string& name : names_in(newest)) {
    const std::vector<std::byte> whole = read_bytes(newest / name);
    fs::remove(newest / name);
    // Without its list a folder is no checkpoint at all.
    expect_previous_is_used(name == "MANIFEST.json" ? newest : newest / name, name);
    overwrite(newest / name, whole);
  }
}

TEST_F(Checkpoint, AnotherFormatVersionIsRefusedWithBothVersions) {
  const fs::path path = save(1);
  std::string manifest = read_text(path / "MANIFEST.json");
  const size_t at = manifest.find("\"version\": 2");
  ASSERT_NE(at, std::string::npos);
  manifest.replace(at, 12, "\"version\": 9");
  write_text(files_, path / "MANIFEST.json", manifest);
  EXPECT_THAT(refusal(path), ::testing::AllOf(HasSubstr("version 1 or 2"), HasSubstr("version 9")));
}

TEST_F(Checkpoint, FailureOfAnyOperationLeavesTheOlderOnesAndNothingHalfDone) {
  save(10);
  FailingFiles counting(-1);
  {
    const TemporaryFolder other("checkpoint");
    save_checkpoint(SmallCheckpoint(20).contents, other.path(), counting);
  }
  ASSERT_GT(counting.num_operations(), 8);
  for (int fail_at = 0; fail_at < counting.num_operations(); ++fail_at)
    for (bool is_torn : {false, true}) {
      FailingFiles failing(fail_at, is_torn);
      EXPECT_THROW(save_checkpoint(SmallCheckpoint(20).contents, folder(), failing), CommError) << fail_at;
      for (const fs::path& path : list_checkpoints(folder())) EXPECT_EQ(refusal(path), "") << "operation " << fail_at;
      EXPECT_THAT(steps(), Contains(10u)) << "operation " << fail_at;
      for (const std::string& name : names_in(folder()))
        EXPECT_THAT(name, ::testing::AnyOf(StartsWith("step-"), StartsWith(".")));
      fs::remove_all(folder() / "step-00000020");
    }
  save(20);
  EXPECT_THAT(steps(), ElementsAre(20, 10));
  EXPECT_THAT(names_in(folder()), ElementsAre("step-00000010", "step-00000020")) << "leftovers of failures are gone";
}

TEST_F(Checkpoint, ARunThatComesByAgainReplacesTheStepWhole) {
  save(10);
  const fs::path path = save(20);
  overwrite(path / "model.safetensors", {});
  EXPECT_NE(refusal(path), "");
  EXPECT_EQ(save(20), path);
  EXPECT_EQ(refusal(path), "");
  EXPECT_THAT(names_in(folder()), ElementsAre("step-00000010", "step-00000020"));
}

TEST_F(Checkpoint, FailureWhileReplacingAStepLeavesItLoadable) {
  save(10);
  save(20);
  for (int fail_at = 0; fail_at < 16; ++fail_at) {
    FailingFiles failing(fail_at);
    try {
      save_checkpoint(SmallCheckpoint(20).contents, folder(), failing);
    } catch (const CommError&) {
    }
    std::vector<std::string> refused;
    const auto found = load_newest(folder(), refused);
    ASSERT_TRUE(found.has_value()) << "operation " << fail_at;
    EXPECT_EQ(found->step, 20u) << "operation " << fail_at;
    EXPECT_THAT(refused, ::testing::IsEmpty()) << "operation " << fail_at;
  }
}

TEST_F(Checkpoint, WhereNamesCannotBeExchangedAFailureWhileReplacingLeavesAnOlderStepLoadable) {
  save(10);
  save(20);
  for (int fail_at = 0; fail_at < 16; ++fail_at) {
    FailingFiles failing(fail_at, /*is_torn=*/false, /*can_exchange=*/false);
    try {
      save_checkpoint(SmallCheckpoint(20).contents, folder(), failing);
    } catch (const CommError&) {
    }
    std::vector<std::string> refused;
    EXPECT_TRUE(load_newest(folder(), refused).has_value()) << "operation " << fail_at;
    EXPECT_THAT(refused, ::testing::IsEmpty()) << "operation " << fail_at;
  }
}

TEST_F(Checkpoint, ValuesThatAreNotFiniteAreRefusedWithTheirTensorAndTheOneBeforeIsTaken) {
  save(10, 30);
  for (const bool is_weight : {true, false}) {
    SmallCheckpoint bad(20, 30);
    (is_weight ? bad.weights : bad.moments)[7] = std::numeric_limits<float>::quiet_NaN();
    save_checkpoint(bad.contents, folder(), files_);
    std::vector<std::string> refused;
    EXPECT_EQ(load_newest(folder(), refused).value().step, 10u);
    ASSERT_EQ(refused.size(), 1u);
    EXPECT_THAT(refused[0],
                HasSubstr(is_weight ? "model.safetensors: blocks.0.weight: expected finite values; found nan"
                                    : "optimizer.safetensors: exp_avg: expected finite values; found nan"));
  }
}

TEST_F(Checkpoint, AnEmptyFolderWithAStepNameIsRefusedNotFatal) {
  save(10);
  fs::create_directories(folder() / "step-00000020");
  expect_previous_is_used(folder() / "step-00000020", "empty folder");
}

}  // namespace
}  // namespace rehearse
