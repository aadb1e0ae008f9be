// Which value wins: the file, what it extends, --set (configs/README.md).
#include "tests/base/config/config_support.h"
#include "trainer/base/config/config.h"

namespace rehearse {
namespace {

using ::testing::HasSubstr;

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

// From whatever folder, and wherever the repository is: the binary holds it.
TEST_F(ConfigFiles, ExtendsBaseIsFoundFromAnywhere) {
  std::filesystem::create_directories(folder_ / "deep/er");
  for (const std::string name : {"here.yaml", "deep/er/there.yaml"}) {
    Config config = Config::load(write(name, "extends: base\noptimizer: {lr: 0.5}\n"));
    EXPECT_EQ(config.root().child("optimizer").number("lr", 0), 0.5);
    EXPECT_EQ(config.root().child("optimizer").number("clip_norm", 7), 1.0);
    EXPECT_THAT(config.root().child("optimizer").where("clip_norm"), ::testing::StartsWith("base:"));
  }
  const std::string built_in = Config::load(write("a.yaml", "extends: base\n")).resolved();
  EXPECT_EQ(built_in, Config::load(REHEARSE_SOURCE_DIR "/configs/base.yaml").resolved());
}

TEST_F(ConfigFiles, AFileThatIsNotThereToExtendSaysWhereItWasLookedFor) {
  const std::string child = write("child.yaml", "seed: 1\nextends: configs/base.yaml\n");
  EXPECT_EQ(error_of([&] { Config::load(child); }),
            child + ":2: extends: expected a file, named from \"" + folder_.string() +
                "\", where this file is, or \"base\", which is built in; found no \"" +
                (folder_ / "configs/base.yaml").string() + "\"");
}

TEST_F(ConfigFiles, AnEmptyMapEmptiesAndASectionWithoutAValueChangesNothing) {
  write("base.yaml", "a: {x: 1}\nb: {x: 1}\nc: {x: 1}\nd: 1\n");
  const std::string child = write("child.yaml", "extends: base.yaml\na:\nb: {}\nd:\n");
  Config config = Config::load(child, {"c={}"});
  ConfigNode root = config.root();
  EXPECT_EQ(root.child("a").integer("x", 9), 1);
  EXPECT_EQ(root.child("b").integer("x", 9), 9);
  EXPECT_EQ(root.child("c").integer("x", 9), 9);
  EXPECT_EQ(error_of([&] { root.integer("d", 9); }), child + ":4: d: expected a whole number; found nothing");
}

TEST_F(ConfigFiles, WhatIsMissingIsMissingInTheFileThatWasGiven) {
  write("base.yaml", "a: {x: 1}\n");
  const std::string child = write("child.yaml", "extends: base.yaml\n");
  Config config = Config::load(child);
  EXPECT_EQ(error_of([&] { config.root().child("data").required_text("train"); }),
            child + ": data.train: expected a text; found nothing");
}

// adamw reads lr and beta1, sgd lr and momentum.
void read_optimizer(Config& config, double expected_lr) {
  ConfigNode optimizer = config.root().child("optimizer");
  EXPECT_EQ(optimizer.number("lr", 0.002), expected_lr);
  optimizer.number(optimizer.text("type", "adamw") == "adamw" ? "beta1" : "momentum", 0.9);
  config.root().expect_all_read();
}

TEST_F(ConfigFiles, AnotherTypeKeepsTheKeysThatItReadsAndDropsTheOthers) {
  for (const std::string type : {"", "type: adamw, "}) {
    const std::string base = write("base.yaml", "optimizer: {" + type + "lr: 0.004, beta1: 0.5}\n");
    const std::string child = write("child.yaml", "extends: base.yaml\noptimizer: {type: sgd}\n");
    Config extended = Config::load(child);
    read_optimizer(extended, 0.004);
    EXPECT_EQ(extended.resolved().find("beta1"), std::string::npos) << extended.resolved();
    for (const char* assignment : {"optimizer.type=sgd", "optimizer={type: sgd}"}) {
      Config overridden = Config::load(base, {assignment});
      read_optimizer(overridden, 0.004);
      EXPECT_EQ(overridden.resolved().find("beta1"), std::string::npos) << overridden.resolved();
    }
  }
}

TEST_F(ConfigFiles, AKeyThatIsGivenWithTheNewTypeMustBeKnown) {
  const std::string base = write("base.yaml", "optimizer: {type: adamw, lr: 0.004, beta1: 0.5}\n");
  const std::string child = write("child.yaml", "extends: base.yaml\noptimizer: {type: sgd, beta1: 0.7}\n");
  Config extended = Config::load(child);
  EXPECT_THAT(error_of([&] { read_optimizer(extended, 0.004); }),
              HasSubstr("child.yaml:2: optimizer.beta1: expected a known key"));
  const std::string type = "optimizer.type=sgd", beta = "optimizer.beta1=0.7";
  for (const auto& assignments : {std::vector{type, beta}, std::vector{beta, type}}) {
    Config overridden = Config::load(base, assignments);
    EXPECT_THAT(error_of([&] { read_optimizer(overridden, 0.004); }),
                HasSubstr("--set: optimizer.beta1: expected a known key"));
  }
}

// Of a task that reads other keys than the first one's.
TEST_F(ConfigFiles, WhatNobodyReadsIsForgivenWhereItIsAsTheBaseHasIt) {
  const auto refusal = [&](const std::string& own) {
    Config config = Config::load(write("task.yaml", "extends: base\n" + own));
    ConfigNode root = config.root();
    root.integer("seed", 1);
    root.child("run").text("folder", "");
    config.forgive_base();
    try {
      root.expect_all_read();
    } catch (const ConfigError& failure) {
      return std::string(failure.what());
    }
    return std::string();
  };
  EXPECT_EQ(refusal(""), "");
  EXPECT_EQ(refusal("batch: {seconds: 120}\n"), "");
  EXPECT_THAT(refusal("batch: {seconds: 60}\n"), HasSubstr("batch.seconds: expected a known key"));
  EXPECT_THAT(refusal("data: {tokenizer: a.model}\n"), HasSubstr("data.tokenizer: expected a known key"));
  EXPECT_THAT(refusal("data: {train: [a.jsonl]}\n"), HasSubstr("data.train: expected a known key"));
  EXPECT_THAT(refusal("run: {foldr: x}\n"), HasSubstr("did you mean \"folder\"?"));
}

TEST_F(ConfigFiles, TheSameTypeDropsNothing) {
  const std::string base = write("base.yaml", "optimizer: {type: adamw, lr: 0.004, momentum: 0.5}\n");
  Config config = Config::load(base, {"optimizer.type=adamw"});
  EXPECT_THAT(error_of([&] { read_optimizer(config, 0.004); }), HasSubstr("base.yaml:1: optimizer.momentum"));
}

TEST_F(ConfigFiles, AMapInsideAMapOfAnotherTypeIsCheckedWhereItIsRead) {
  const std::string base = write("base.yaml", "part: {type: a, own: {x: 1}, shared: {y: 1, z: 2}}\n");
  Config config = Config::load(base, {"part.type=b", "part.shared.y=5"});
  ConfigNode shared = config.root().child("part").child("shared");
  config.root().child("part").text("type", "");
  EXPECT_EQ(shared.integer("y", 0), 5);
  EXPECT_THAT(error_of([&] { config.root().expect_all_read(); }), HasSubstr("base.yaml:1: part.shared.z"));
  shared.integer("z", 0);
  config.root().expect_all_read();
  EXPECT_FALSE(config.root().child("part").has("own"));
}

TEST_F(ConfigFiles, OverridesReachListItemsAndRejectNonsense) {
  const std::string path = write("run.yaml", "blocks:\n  - {type: conv, stride: 1}\n  - {type: conv, stride: 1}\n");
  Config config = Config::load(path, {"blocks.1.stride=2", "fresh.key=text"});
  EXPECT_EQ(config.root().children("blocks")[1].integer("stride", 0), 2);
  EXPECT_EQ(config.root().child("fresh").text("key", ""), "text");
  Config bracketed = Config::load(path, {"blocks[0].stride=3"});
  EXPECT_EQ(bracketed.root().children("blocks")[0].integer("stride", 0), 3);
  EXPECT_THAT(error_of([&] { Config::load(path, {"blocks[2].stride=2"}); }), HasSubstr("expected an index below 2"));
  EXPECT_THAT(error_of([&] { Config::load(path, {"blocks.2.stride=2"}); }), HasSubstr("expected an index below 2"));
  EXPECT_THAT(error_of([&] { Config::load(path, {"blocks"}); }), HasSubstr("expected key=value"));
}

TEST_F(ConfigFiles, AnOverrideNeedsAValue) {
  const std::string path = write("run.yaml", "optimizer: {lr: 1}\nrun: {folder: here}\n");
  for (const char* assignment : {"optimizer.lr=", "run.folder=", "optimizer=", "run.folder=null"})
    EXPECT_THAT(error_of([&] { Config::load(path, {assignment}); }),
                HasSubstr(std::string("--set ") + assignment + ": expected a value behind \"=\"; found nothing"));
  Config config = Config::load(path, {"run.folder=\"\""});
  EXPECT_EQ(config.root().child("run").text("folder", "x"), "");
}

}  // namespace
}  // namespace rehearse
