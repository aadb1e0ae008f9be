#include "trainer/base/config/config.h"

#include "tests/base/config/config_support.h"

namespace rehearse {
namespace {

using ::testing::HasSubstr;

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

TEST(Config, AKeyWithoutAValueIsAnErrorOfThatLine) {
  Config config = Config::parse("a:\nb: \"\"\nc: null\nd: ~\nsection:\n", "run.yaml");
  ConfigNode root = config.root();
  EXPECT_EQ(error_of([&] { root.number("a", 0); }), "run.yaml:1: a: expected a number; found nothing");
  EXPECT_EQ(error_of([&] { root.required_number("a"); }), "run.yaml:1: a: expected a number; found nothing");
  EXPECT_EQ(error_of([&] { root.integer("c", 0); }), "run.yaml:3: c: expected a whole number; found nothing");
  EXPECT_EQ(error_of([&] { root.boolean("d", true); }), "run.yaml:4: d: expected true or false; found nothing");
  EXPECT_EQ(error_of([&] { root.text("a", "x"); }), "run.yaml:1: a: expected a text; found nothing");
  EXPECT_EQ(error_of([&] { root.choice("a", "x", {"x", "y"}); }), "run.yaml:1: a: expected one of x, y; found nothing");
  EXPECT_EQ(error_of([&] { root.texts("a", {}); }), "run.yaml:1: a: expected a list of texts; found nothing");
  EXPECT_EQ(error_of([&] { root.numbers("a", {}); }), "run.yaml:1: a: expected a list of numbers; found nothing");
  Config odd = Config::parse("list: [1, nan]\nlarge: [inf]\n", "run.yaml");
  EXPECT_THAT(error_of([&] { odd.root().numbers("list", {}); }),
              HasSubstr("expected a list with a number each; found"));
  EXPECT_THAT(error_of([&] { odd.root().numbers("large", {}); }), HasSubstr("run.yaml:2: large: expected a list"));
  EXPECT_EQ(error_of([&] { root.children("a"); }), "run.yaml:1: a: expected a list of maps; found nothing");
  EXPECT_EQ(root.text("b", "x"), "");
  EXPECT_EQ(root.child("section").integer("absent", 7), 7) << "a section whose lines are all commented out";
}

TEST(Config, WhatNobodyWroteIsMissingWhereTheMapAboveIs) {
  Config config = Config::parse("data: {x: 1}\n", "run.yaml");
  EXPECT_EQ(error_of([&] { config.root().child("run").required_text("folder"); }),
            "run.yaml:1: run.folder: expected a text; found nothing");
  EXPECT_EQ(error_of([&] { config.root().child("run").fail("depth", "expected more"); }),
            "run.yaml:1: run.depth: expected more");
  EXPECT_EQ(config.root().child("run").where(), "run.yaml:1: run");
}

TEST(Config, AnUnknownKeyIsLookedForInOtherMapsToo) {
  Config config = Config::parse("patience: 3\nlr: 1\nabroad: 2\n", "run.yaml");
  ConfigNode root = config.root();
  const auto unknown = [&](const std::string& key) {
    EXPECT_TRUE(config.value().find(key));
    const std::string message = error_of([&] { root.expect_all_read(); });
    root.integer(key, 0);
    return message;
  };
  root.child("validation").integer("patience", 0);
  root.child("a").number("lr", 0);
  root.child("b").number("lr", 0);
  EXPECT_EQ(unknown("patience"),
            "run.yaml:1: patience: expected a known key; found \"patience\"; did you mean \"validation.patience\"?");
  EXPECT_EQ(unknown("lr"),
            "run.yaml:2: lr: expected a known key; found \"lr\"; the keys there are patience, validation, "
            "a, b")
      << "two places: nobody knows which";
  EXPECT_THAT(unknown("abroad"), HasSubstr("abroad: expected a known key; found \"abroad\"; the keys there are "))
      << "nothing is near";
}

TEST(Config, WhereThereAreFewKeysTheyAreNamed) {
  Config config = Config::parse("run: {dir: x}\n", "run.yaml");
  config.root().child("run").text("folder", "");
  EXPECT_EQ(error_of([&] { config.root().expect_all_read(); }),
            "run.yaml:1: run.dir: expected a known key of run; found \"dir\"; the only key there is folder");
  Config many = Config::parse("a: {x: 1}\n", "run.yaml");
  for (int i = 0; i < 20; ++i) many.root().child("a").integer("some_key_" + std::to_string(i), 0);
  EXPECT_EQ(error_of([&] { many.root().expect_all_read(); }),
            "run.yaml:1: a.x: expected a known key of a; found \"x\"");
}

TEST(Config, TabsAreNamedWhereTheyBreakTheYaml) {
  EXPECT_EQ(error_of([] { Config::parse("a:\n\tb: 1\n", "x.yaml"); }),
            "x.yaml:2: expected valid YAML; found illegal map value; this line has a tab: indent with spaces");
  EXPECT_THAT(error_of([] { Config::parse("a: [1, 2\n", "x.yaml"); }), ::testing::Not(HasSubstr("tab")));
}

TEST(Config, RefusesDuplicateKeysAndBrokenYaml) {
  EXPECT_THAT(error_of([] { Config::parse("a: 1\nb: 2\na: 3\n", "x.yaml"); }),
              HasSubstr("x.yaml:3: expected each key once; found \"a\" again"));
  EXPECT_THAT(error_of([] { Config::parse("a: [1, 2\n", "x.yaml"); }), HasSubstr("expected valid YAML"));
  EXPECT_THAT(error_of([] { Config::parse("- 1\n", "x.yaml"); }), HasSubstr("expected a map of keys"));
}

TEST_F(ConfigFiles, MissingFilesAndCirclesAreOneClearLine) {
  EXPECT_THAT(error_of([&] { Config::load((folder_ / "none.yaml").string()); }),
              HasSubstr("none.yaml: expected a readable file"));
  const std::string orphan = write("orphan.yaml", "x: 1\nextends: gone.yaml\n");
  EXPECT_THAT(error_of([&] { Config::load(orphan); }), HasSubstr("orphan.yaml:2: extends: expected a file"));
  const std::string circle = write("circle.yaml", "extends: circle.yaml\n");
  EXPECT_THAT(error_of([&] { Config::load(circle); }), HasSubstr("circle of `extends`"));
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

}  // namespace
}  // namespace rehearse
