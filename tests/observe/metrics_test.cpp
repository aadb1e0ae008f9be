#include "trainer/observe/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <fstream>

#include "trainer/base/error.h"
#include "trainer/base/random.h"

namespace rehearse {
namespace {

using testing::HasSubstr;

class MetricsFile : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::path(testing::TempDir()) / concat("metrics_", test->name(), "_", ::getpid());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path path() const { return folder_ / "metrics.jsonl"; }
  void append_raw(const std::string& text) { std::ofstream(path(), std::ios::app) << text; }

  fs::path folder_;
  FileLayer files_;
};

std::string damage_of(const std::string& text) {
  return parse_metrics(text, "m.jsonl").first_damage;
}

TEST_F(MetricsFile, EveryKindOfLineComesBackAsWritten) {
  MetricsWriter writer(files_, path(), terms_of(kFirstTask));
  writer.write(StartMetrics{.step = 0,
                            .config_hash = "ab12",
                            .device = "cpu",
                            .ranks = 2,
                            .threads = 1,
                            .versions = {{"rehearse", "0.1.0"}}});
  StepMetrics step{.step = 10, .time_s = 3.5, .passes = 0.25, .draws = 80, .loss = 2.5, .ratios = {0.5, 0.75}};
  step.drawn_error = 0.45;
  step.target_error = 0.1;
  step.lr = 1e-3;
  step.grad_norm = 2.25;
  step.cost = 1200;
  step.cost_per_s = 300;
  step.product_kernels = 12;
  step.memory_blocks = 34;
  step.phase_s = {.data = 1, .forward = 2, .loss = 3, .backward = 4, .communication = 5, .update = 6, .other = 7};
  step.skipped = 1;
  writer.write(step);
  writer.write(DomainsMetrics{10, nlohmann::json::parse(R"([{"name":"calls","share":0.5,"state":"breadth"}])")});
  writer.write(ValidationMetrics{
      .step = 10, .time_s = 4, .sets = {{"valid", "calls", 12, 0.5, {0.2, 0.4}, 1.5}}, .macro = {0.2, 0.4}});
  writer.write(NoteMetrics{10, "resumed \"here\"\n"});
  writer.write(CostMetrics{10, 60, 0.5, 0.25, 1e9, {1e9, 9e8}, 3, 0.25, 80});

  const Metrics metrics = read_metrics(path());
  ASSERT_EQ(metrics.starts.size(), 1u);
  EXPECT_EQ(metrics.starts[0].versions.at("rehearse"), "0.1.0");
  EXPECT_EQ(metrics.starts[0].ranks, 2u);
  ASSERT_EQ(metrics.steps.size(), 1u);
  EXPECT_EQ(metrics_line(metrics.steps[0], terms_of(kFirstTask)), metrics_line(step, terms_of(kFirstTask)));
  ASSERT_EQ(metrics.domains.size(), 1u);
  EXPECT_EQ(metrics.domains[0].domains[0]["state"], "breadth");
  ASSERT_EQ(metrics.validations.size(), 1u);
  EXPECT_EQ(metrics.validations[0].sets.at(0).examples, 12u);
  EXPECT_EQ(metrics.validations[0].macro.at(1), 0.4);
  ASSERT_EQ(metrics.notes.size(), 1u);
  EXPECT_EQ(metrics.notes[0].text, "resumed \"here\"\n");
  ASSERT_TRUE(metrics.cost.has_value());
  EXPECT_EQ(metrics.cost->gpu_hours, 0.25);
  EXPECT_EQ(metrics.cost->peak_rss_by_rank, (std::vector<double>{1e9, 9e8}));
  EXPECT_FALSE(metrics.has_unfinished_line);
}

TEST_F(MetricsFile, ALineIsInTheFileBeforeTheWriterIsClosed) {
  MetricsWriter writer(files_, path(), terms_of(kFirstTask));
  writer.write(NoteMetrics{1, "one"});
  EXPECT_EQ(read_metrics(path()).notes.size(), 1u);
}

TEST_F(MetricsFile, ValuesThatAreNotFiniteAreNullAndComeBackAsUnknown) {
  MetricsWriter(files_, path(), terms_of(kFirstTask)).write(StepMetrics{.step = 1, .loss = INFINITY});
  EXPECT_THAT(read_text(path()), HasSubstr("\"loss_per_token\":null"));
  EXPECT_TRUE(std::isnan(read_metrics(path()).steps.at(0).loss));
}

TEST_F(MetricsFile, CuttingBackDropsLaterStepsAndKeepsTheRestByteForByte) {
  MetricsWriter writer(files_, path(), terms_of(kFirstTask));
  for (uint64_t step : {10, 20, 30}) writer.write(StepMetrics{.step = step});
  const std::string whole = read_text(path());
  writer.write(StepMetrics{.step = 40});
  writer.write(CostMetrics{.step = 50});
  EXPECT_EQ(writer.cut_back_to(30).later, 2u);
  EXPECT_EQ(read_text(path()), whole);
  writer.write(NoteMetrics{30, "resumed"});
  EXPECT_EQ(read_metrics(path()).notes.size(), 1u) << "the writer still appends to the file that it replaced";
}

TEST_F(MetricsFile, CuttingBackToZeroOfAnEmptyFileDropsNothing) {
  MetricsWriter writer(files_, path(), terms_of(kFirstTask));
  EXPECT_EQ(writer.cut_back_to(0).later, 0u);
  EXPECT_EQ(read_text(path()), "");
}

TEST_F(MetricsFile, AFailedCutBackLeavesTheOldFileWhole) {
  struct FullDisk : FileLayer {
    void write(const fs::path& path, std::span<const std::byte>) override { throw CommError(path.string(), ": full"); }
  } full_disk;
  MetricsWriter writer(full_disk, path(), terms_of(kFirstTask));
  writer.write(StepMetrics{.step = 1});
  writer.write(StepMetrics{.step = 2});
  const std::string before = read_text(path());
  EXPECT_THROW(writer.cut_back_to(1), CommError);
  EXPECT_EQ(read_text(path()), before);
}

TEST_F(MetricsFile, OpeningRemovesALineThatACrashLeftUnfinished) {
  MetricsWriter(files_, path(), terms_of(kFirstTask)).write(StepMetrics{.step = 1});
  append_raw(R"({"kind":"step","st)");
  EXPECT_TRUE(read_metrics(path()).has_unfinished_line);
  MetricsWriter(files_, path(), terms_of(kFirstTask)).write(StepMetrics{.step = 2});
  const Metrics metrics = read_metrics(path());
  EXPECT_FALSE(metrics.has_unfinished_line);
  EXPECT_EQ(metrics.steps.size(), 2u);
}

TEST_F(MetricsFile, OpeningEndsAWholeLineThatLacksOnlyItsLineEnd) {
  append_raw(R"({"kind":"note","step":1,"text":"a"})");
  MetricsWriter(files_, path(), terms_of(kFirstTask)).write(NoteMetrics{2, "b"});
  EXPECT_EQ(read_metrics(path()).notes.size(), 2u);
}

TEST_F(MetricsFile, AFolderThatIsAbsentIsAnErrorThatNamesTheFile) {
  EXPECT_THROW(MetricsWriter(files_, folder_ / "absent" / "metrics.jsonl", terms_of(kFirstTask)), CommError);
}

TEST(ParseMetrics, DamageNamesFileLineFieldAndWhatWasFound) {
  const std::string good = "{\"kind\":\"note\",\"step\":1}\n";
  EXPECT_THAT(damage_of(good + "garbage\n"), HasSubstr("m.jsonl:2: expected JSON; found \"garbage\""));
  EXPECT_THAT(damage_of(good + "[1]\n"), HasSubstr("m.jsonl:2: expected a JSON object; found [1]"));
  EXPECT_THAT(damage_of("{\"step\":1}\n"), HasSubstr("m.jsonl:1: kind: expected a text; found nothing"));
  EXPECT_THAT(damage_of("{\"kind\":\"stpe\"}\n"), HasSubstr("kind: expected start, step,"));
  EXPECT_THAT(damage_of("{\"kind\":\"step\",\"step\":-1}\n"), HasSubstr("step: expected a whole number >= 0"));
  EXPECT_THAT(damage_of("{\"kind\":\"step\",\"step\":1,\"loss\":\"x\"}\n"),
              HasSubstr("loss: expected a number; found \"x\""));
  EXPECT_THAT(damage_of("{\"kind\":\"step\",\"step\":1,\"phase_s\":[]}\n"), HasSubstr("phase_s: expected an obj"));
  EXPECT_THAT(damage_of("{\"kind\":\"domains\",\"step\":1,\"domains\":[3]}\n"), HasSubstr("m.jsonl:1: domains: "));
  EXPECT_THAT(damage_of("{\"kind\":\"validation\",\"step\":1,\"sets\":[{}]}\n"), HasSubstr("name: expected a te"));
}

TEST_F(MetricsFile, ADamagedLineIsDroppedOnResumeAndTheRestIsKeptByteForByte) {
  MetricsWriter writer(files_, path(), terms_of(kFirstTask));
  writer.write(StepMetrics{.step = 10});
  const std::string first = read_text(path());
  append_raw("{\"kind\":\"step\",\"st\n\n{\"kind\":\"note\"}\n");
  writer.write(StepMetrics{.step = 20});
  const std::string second = metrics_line(StepMetrics{.step = 20}, terms_of(kFirstTask)).dump() + "\n";
  EXPECT_EQ(read_metrics(path()).damaged, 2u);
  EXPECT_EQ(read_metrics(path()).steps.size(), 2u) << "a reader keeps the rest as well";
  const MetricsWriter::Cut cut = writer.cut_back_to(20);
  EXPECT_EQ(cut.later, 0u);
  EXPECT_EQ(cut.damaged, 2u);
  EXPECT_THAT(cut.first_damage, HasSubstr("metrics.jsonl:2: expected"));
  EXPECT_EQ(read_text(path()), first + second);
}

TEST(ParseMetrics, TheLossOfOlderRunsIsRead) {
  EXPECT_EQ(parse_metrics("{\"kind\":\"step\",\"step\":3,\"loss\":1.5}\n", "m").steps.at(0).loss, 1.5);
}

TEST(ParseMetrics, EmptyTextHasNoLines) {
  const Metrics metrics = parse_metrics("", "m.jsonl");
  EXPECT_TRUE(metrics.steps.empty());
  EXPECT_FALSE(metrics.has_unfinished_line);
}

TEST(ParseMetrics, EveryPrefixOfAGoodFileIsRead) {
  const std::string text =
      metrics_line(StepMetrics{.step = 1}, terms_of(kFirstTask)).dump() + "\n" +
      metrics_line(NoteMetrics{2, "ä"}).dump() + "\n" +
      metrics_line(ValidationMetrics{.step = 3, .sets = {{"v", "d"}}}, terms_of(kFirstTask)).dump() + "\n";
  for (size_t size = 0; size <= text.size(); ++size) {
    const Metrics metrics = parse_metrics(text.substr(0, size), "m.jsonl");
    const bool ends_in_a_line = size == 0 || text[size - 1] == '\n' || text[size] == '\n';
    EXPECT_EQ(metrics.has_unfinished_line, !ends_in_a_line) << size;
  }
}

TEST(ParseMetrics, DamagedLinesAreLeftOutAndSaidAndNeverCrash) {
  const uint64_t seed = 20240517;
  SCOPED_TRACE(concat("seed ", seed));
  const std::string good =
      metrics_line(StepMetrics{.step = 1, .loss = 2}, terms_of(kFirstTask)).dump() + "\n" +
      metrics_line(ValidationMetrics{.step = 3, .sets = {{"v", "d"}}}, terms_of(kFirstTask)).dump() + "\n" +
      metrics_line(StartMetrics{.versions = {{"a", "b"}}}).dump() + "\n";
  const std::string alphabet = "{}[]\",:0-1e9\\untrl\n\xff\xc3 \x01";
  size_t num_damaged = 0;
  for (uint64_t trial = 0; trial < 5000; ++trial) {
    const RandomKey key = RandomKey(seed).with(trial);
    std::string text = good;
    const uint64_t num_changes = 1 + key.below(4, 0);
    for (uint64_t i = 0; i < num_changes; ++i) {
      const size_t at = key.below(text.size(), 1 + 3 * i);
      const char byte = alphabet[key.below(alphabet.size(), 2 + 3 * i)];
      if (key.below(2, 3 + 3 * i) == 0) {
        text[at] = byte;
      } else {
        text.insert(at, key.below(5, 100 + i), byte);
      }
    }
    const Metrics metrics = parse_metrics(text, "m.jsonl");
    if (metrics.damaged == 0) continue;
    ++num_damaged;
    EXPECT_THAT(metrics.first_damage, testing::StartsWith("m.jsonl:")) << text;
  }
  EXPECT_GT(num_damaged, 1000u);
}

}  // namespace
}  // namespace rehearse
