#include "trainer/base/config.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

using ::testing::HasSubstr;

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const ConfigError& failure) {
    EXPECT_EQ(failure.exit_code(), 2);
    return failure.what();
  }
  ADD_FAILURE() << "expected a ConfigError";
  return "";
}

class ConfigFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("rehearse_config_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string write(const std::string& name, const std::string& text) {
    const auto path = folder_ / name;
    std::ofstream(path) << text;
    return path.string();
  }
  std::filesystem::path folder_;
};

TEST(Config, ReadsTypedValuesAndRecordsDefaults) {
  Config config = Config::parse("a: 3\nb: {c: 0.5, d: yes please, e: true}\nlist: [1, 2.5]\n");
  ConfigNode root = config.root();
  EXPECT_EQ(root.integer("a", 1), 3);
  ConfigNode b = root.child("b");
  EXPECT_DOUBLE_EQ(b.number("c", 0), 0.5);
  EXPECT_EQ(b.text("d", ""), "yes please");
  EXPECT_TRUE(b.boolean("e", false));
  EXPECT_EQ(b.integer("missing", 7), 7);
  EXPECT_EQ(root.numbers("list", {}), (std::vector<double>{1, 2.5}));
  root.expect_all_read();
  EXPECT_THAT(config.resolved(), HasSubstr("missing: 7"));
  EXPECT_THAT(config.resolved(true), HasSubstr("missing: 7  # default"));
  EXPECT_THAT(config.resolved(true), HasSubstr("a: 3  # <text>:1"));
}

TEST(Config, UnknownKeyNamesTheNearest) {
  Config config = Config::parse("optimizer:\n  lr: 1\n  weight_decy: 0.1\n", "run.yaml");
  ConfigNode optimizer = config.root().child("optimizer");
  optimizer.number("lr", 0);
  optimizer.number("weight_decay", 0);
  EXPECT_EQ(error_of([&] { config.root().expect_all_read(); }),
            "run.yaml:3: optimizer.weight_decy: expected a known key of optimizer; found \"weight_decy\"; did you mean "
            "\"weight_decay\"?");
}

TEST(Config, WrongTypeAndRangeSayExpectedAndFound) {
  Config config = Config::parse("lr: fast\nsteps: -4\nflag: 1\nkind: sgdd\nquoted: \"3\"\n", "run.yaml");
  ConfigNode root = config.root();
  EXPECT_EQ(error_of([&] { root.number("lr", 0); }), "run.yaml:1: lr: expected a number; found fast");
  EXPECT_EQ(error_of([&] {
              root.integer("steps", 0, {0, 100});
            }),
            "run.yaml:2: steps: expected a whole number from 0 to 100; found -4");
  EXPECT_EQ(error_of([&] { root.boolean("flag", true); }), "run.yaml:3: flag: expected true or false; found 1");
  EXPECT_EQ(error_of([&] {
              root.choice("kind", "", {"adamw", "sgd"});
            }),
            "run.yaml:4: kind: expected one of adamw, sgd; found \"sgdd\"; did you mean \"sgd\"?");
  EXPECT_EQ(error_of([&] { root.integer("quoted", 0); }), "run.yaml:5: quoted: expected a whole number; found \"3\"");
  EXPECT_THAT(error_of([&] { root.child("lr"); }), HasSubstr("expected a map; found fast"));
  EXPECT_THAT(error_of([&] { root.required_text("absent"); }), HasSubstr("absent: expected a text; found nothing"));
}

TEST(Config, RefusesDuplicateKeysAndBrokenYaml) {
  EXPECT_THAT(error_of([] { Config::parse("a: 1\nb: 2\na: 3\n", "x.yaml"); }),
              HasSubstr("x.yaml:3: expected each key once; found \"a\" again"));
  EXPECT_THAT(error_of([] { Config::parse("a: [1, 2\n", "x.yaml"); }), HasSubstr("expected valid YAML"));
  EXPECT_THAT(error_of([] { Config::parse("- 1\n", "x.yaml"); }), HasSubstr("expected a map of keys"));
}

TEST_F(ConfigFiles, ExtendsMergesMapsAndReplacesLists) {
  write("base.yaml", "a: {x: 1, y: 2}\nlist: [1, 2, 3]\n");
  const std::string child = write("child.yaml", "extends: base.yaml\na: {y: 5}\nlist: [9]\n");
  Config config = Config::load(child, {"a.x=7"});
  ConfigNode a = config.root().child("a");
  EXPECT_EQ(a.integer("x", 0), 7);
  EXPECT_EQ(a.integer("y", 0), 5);
  EXPECT_EQ(config.root().numbers("list", {}), std::vector<double>{9});
  config.root().expect_all_read();
}

TEST_F(ConfigFiles, AMapOfAnotherTypeReplacesInsteadOfMerging) {
  write("base.yaml", "optimizer: {type: adamw, beta1: 0.9}\n");
  const std::string child = write("child.yaml", "extends: base.yaml\noptimizer: {type: sgd, momentum: 0.5}\n");
  Config config = Config::load(child);
  EXPECT_FALSE(config.root().child("optimizer").has("beta1"));
}

TEST_F(ConfigFiles, MissingFilesAndCirclesAreOneClearLine) {
  EXPECT_THAT(error_of([&] { Config::load((folder_ / "none.yaml").string()); }),
              HasSubstr("none.yaml: expected a readable file"));
  const std::string orphan = write("orphan.yaml", "x: 1\nextends: gone.yaml\n");
  EXPECT_THAT(error_of([&] { Config::load(orphan); }), HasSubstr("orphan.yaml:2: extends: expected an existing file"));
  const std::string circle = write("circle.yaml", "extends: circle.yaml\n");
  EXPECT_THAT(error_of([&] { Config::load(circle); }), HasSubstr("circle of `extends`"));
}

TEST_F(ConfigFiles, OverridesReachListItemsAndRejectNonsense) {
  const std::string path = write("run.yaml", "blocks:\n  - {type: conv, stride: 1}\n  - {type: conv, stride: 1}\n");
  Config config = Config::load(path, {"blocks.1.stride=2", "fresh.key=text"});
  EXPECT_EQ(config.root().children("blocks")[1].integer("stride", 0), 2);
  EXPECT_EQ(config.root().child("fresh").text("key", ""), "text");
  EXPECT_THAT(error_of([&] { Config::load(path, {"blocks.2.stride=2"}); }), HasSubstr("expected an index below 2"));
  EXPECT_THAT(error_of([&] { Config::load(path, {"blocks"}); }), HasSubstr("expected key=value"));
}

TEST(Config, ResolvedTextReadsBackToTheSameTree) {
  const std::string yaml =
      "name: \"quoted: text # not a comment\"\nnested:\n  - {a: 1, b: [x, \"-y\"]}\n  - {}\nempty: {}\nneg: -3\n";
  const std::string once = Config::parse(yaml).resolved();
  EXPECT_EQ(Config::parse(once).resolved(), once);
  Config config = Config::parse(once);
  EXPECT_EQ(config.root().text("name", ""), "quoted: text # not a comment");
  EXPECT_EQ(config.root().integer("neg", 0), -3);
}

TEST(NearestWord, PicksTheSmallestEditDistance) {
  EXPECT_EQ(nearest_word("strid", {"kernel", "stride", "channels"}), "stride");
  EXPECT_EQ(nearest_word("x", {}), "");
}

}  // namespace
}  // namespace rehearse
