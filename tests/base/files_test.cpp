#include "trainer/base/files.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include "trainer/base/error.h"
#include "trainer/base/random.h"

namespace rehearse {
namespace {

using ::testing::HasSubstr;

class Files : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("rehearse_files_" + std::to_string(::getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path folder_;
  FileLayer layer_;
};

TEST_F(Files, Sha256MatchesTheStandardsExample) {
  const std::string text = "abc";  // FIPS 180-2, appendix B.1
  const std::string expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  EXPECT_EQ(sha256_of(std::as_bytes(std::span(text))), expected);
  write_text(layer_, folder_ / "abc", text);
  EXPECT_EQ(sha256_of_file(folder_ / "abc"), expected);
}

TEST_F(Files, ReplaceLeavesNoTemporaryAndTheNewText) {
  replace_text(layer_, folder_ / "a.json", "one");
  replace_text(layer_, folder_ / "a.json", "two");
  EXPECT_EQ(read_text(folder_ / "a.json"), "two");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1);
}

TEST_F(Files, AnOutputThatCannotBeWrittenIsFoundBeforeTheWork) {
  write_text(layer_, folder_ / "file", "text");
  for (const fs::path& good : {fs::path(), fs::path("new.json"), folder_ / "new.json", folder_ / "file"})
    EXPECT_NO_THROW(expect_writable("--json", good)) << good;
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1) << "it leaves nothing behind";
  for (const fs::path& bad : {folder_ / "absent/new.json", folder_ / "file/new.json", folder_, folder_ / ""})
    EXPECT_THROW(expect_writable("--json", bad), ConfigError) << bad;
  try {
    expect_writable("--json", "/nowhere/x.json");
  } catch (const ConfigError& failure) {
    EXPECT_THAT(failure.what(), HasSubstr("--json: expected"));
    EXPECT_THAT(failure.what(), HasSubstr("found no folder /nowhere;"));
  }
}

TEST_F(Files, AFolderIsMadeOrRefused) {
  write_text(layer_, folder_ / "file", "text");
  EXPECT_NO_THROW(make_folder(folder_ / "a/b"));
  EXPECT_NO_THROW(make_folder(folder_ / "a/b")) << "it is there already";
  EXPECT_TRUE(fs::is_directory(folder_ / "a/b"));
  EXPECT_THROW(make_folder(folder_ / "file"), ConfigError);
  EXPECT_THROW(make_folder(folder_ / "file/below"), ConfigError);
}

// Fails the n-th operation, as a full disk would.
class FailingLayer : public FileLayer {
 public:
  explicit FailingLayer(int fail_at) : fail_at_(fail_at) {}
  void write(const fs::path& path, std::span<const std::byte> bytes) override {
    tick(path);
    FileLayer::write(path, bytes);
  }
  void rename(const fs::path& from, const fs::path& to) override {
    tick(to);
    FileLayer::rename(from, to);
  }
  void tick(const fs::path& path) {
    if (fail_at_-- == 0) throw CommError(path.string(), ": no space left on device");
  }
  int fail_at_;
};

TEST_F(Files, AFailedReplaceKeepsTheOldText) {
  replace_text(layer_, folder_ / "a.json", "old");
  for (int fail_at = 0; fail_at < 2; ++fail_at) {
    FailingLayer failing(fail_at);
    EXPECT_THROW(replace_text(failing, folder_ / "a.json", "new"), CommError);
    EXPECT_EQ(read_text(folder_ / "a.json"), "old");
  }
}

TEST_F(Files, ReadingWhatIsNotThereIsADataError) {
  EXPECT_THROW(read_text(folder_ / "none"), DataError);
  EXPECT_THROW(read_bytes(folder_), DataError);
}

TEST_F(Files, ALockedFolderIsRefusedWithItsHolder) {
  FileLock lock(folder_ / "lock");
  try {
    FileLock second(folder_ / "lock");
    FAIL() << "expected a ConfigError";
  } catch (const ConfigError& failure) {
    EXPECT_THAT(failure.what(), HasSubstr("locked by process " + std::to_string(::getpid())));
  }
}

TEST(RandomKey, IsAPureFunctionOfItsParts) {
  const RandomKey key = RandomKey(1).with("dropout").with(7);
  EXPECT_EQ(key.bits(3), RandomKey(1).with("dropout").with(7).bits(3));
  EXPECT_NE(key.bits(3), RandomKey(2).with("dropout").with(7).bits(3));
  EXPECT_NE(key.bits(3), RandomKey(1).with("augment").with(7).bits(3));
  EXPECT_NE(key.bits(3), RandomKey(1).with("dropout").with(8).bits(3));
}

TEST(RandomKey, UniformAndNormalHaveTheirMoments) {
  const RandomKey key(5);
  const int n = 100000;
  double mean = 0, square = 0, normal_mean = 0, normal_square = 0;
  for (int i = 0; i < n; ++i) {
    const double u = key.uniform(i), z = key.with("normal").normal(i);
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    mean += u / n;
    square += u * u / n;
    normal_mean += z / n;
    normal_square += z * z / n;
  }
  EXPECT_NEAR(mean, 0.5, 0.005);  // five standard errors
  EXPECT_NEAR(square - mean * mean, 1.0 / 12, 0.002);
  EXPECT_NEAR(normal_mean, 0, 0.016);
  EXPECT_NEAR(normal_square, 1, 0.025);
}

TEST(RandomKey, BelowIsUniform) {
  const RandomKey key(9);
  std::vector<int> counts(10);
  for (int i = 0; i < 100000; ++i) ++counts[key.below(10, i)];
  for (int count : counts) EXPECT_NEAR(count, 10000, 500);  // five standard deviations
}

}  // namespace
}  // namespace rehearse
