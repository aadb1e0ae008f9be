// What quarantine_of finds in a checkpoint made by hand, and how it is shown.
#include "trainer/tasks/speech/examine/quarantine_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "data/sampler/quarantine.h"
#include "tests/data/text/text_support.h"
#include "trainer/base/error.h"
#include "trainer/base/text/table.h"

namespace rehearse {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr uint16_t kHalf = 32768;

// 20 utterances of the domain radio, the first six of speaker ann, and 8 of phone. Utterances 1, 2 and 4 of ann and 9
// of radio have wrong texts, 11 is unreadable, and so is the text of phone 21 wrong.
class QuarantineListTest : public ::testing::Test {
 protected:
  QuarantineListTest() {
    std::ofstream manifest(path("train.jsonl"));
    std::vector<uint64_t> ids;
    for (uint32_t i = 0; i < 28; ++i) {
      nlohmann::json line = {{"audio_filepath", "audio/" + std::to_string(i) + ".wav"},
                             {"text", "text " + std::to_string(i)},
                             {"domain", i < 20 ? "radio" : "phone"},
                             {"duration", 1.5},
                             {"speaker", i < 6 ? "ann" : "bob"},
                             {"take", i}};
      if (i == 4) line["offset"] = 75;
      manifest << line.dump() << "\n";
    }
    manifest.close();
    for (const Utterance& utterance : read_manifest(path("train.jsonl"))) ids.push_back(utterance.id);
    checkpoint_.path = "run/checkpoints/step-00000100";
    checkpoint_.files["config.yaml"] = "data: {train: [" + path("train.jsonl") + "]}\n";
    State& state = checkpoint_.state;
    state.arrays["sampler.ids"] = StateArray::of(ids);
    std::vector<uint16_t> cer(28, 100), visits(28, 3);
    cer[1] = 65535, cer[2] = 50000, cer[4] = 65535, cer[9] = 40000, cer[21] = 60000;
    state.arrays["sampler.table.cer"] = StateArray::of(cer);
    state.arrays["sampler.table.visits"] = StateArray::of(visits);
    const std::vector<uint32_t> set_aside = {1, 2, 4, 9, 11, 21};
    const std::vector<uint16_t> then(6, kHalf);
    state.arrays["sampler.quarantine.utterance"] = StateArray::of(set_aside);
    state.arrays["sampler.quarantine.cer_before"] = StateArray::of(then);
    state.arrays["sampler.quarantine.cer"] = StateArray::of(then);
    state.arrays["sampler.quarantine.step"] = StateArray::of(std::vector<uint64_t>{10, 20, 30, 40, 50, 60});
    state.arrays["sampler.quarantine.cut"] = StateArray::of(std::vector<double>(6, 0.45));
    state.arrays["sampler.quarantine.is_bad_file"] = StateArray::of(std::vector<uint8_t>{0, 0, 0, 0, 1, 0});
    state.values["sampler"] = {
        {"domain_names", {"phone", "radio"}},
        {"domains", {{{"controller", {{"is_good", false}}}}, {{"controller", {{"is_good", true}}}}}}};
  }
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  std::string copy_of_manifest(const std::function<bool(const std::string&)>& keeps) const {
    std::ifstream in(path("train.jsonl"));
    std::ofstream out(path("other.jsonl"));
    for (std::string line; std::getline(in, line);)
      if (keeps(line)) out << line << "\n";
    return path("other.jsonl");
  }
  static std::vector<std::string> texts_of(const QuarantineList& list) {
    std::vector<std::string> texts;
    for (const SetAside& one : list.utterances) texts.push_back(one.utterance.text);
    return texts;
  }

  TemporaryFolder folder_{"quarantine_list"};
  LoadedCheckpoint checkpoint_;
};

TEST_F(QuarantineListTest, WrongTextsComeFirstByWhatWasObservedOfLate) {
  const QuarantineList list = quarantine_of(checkpoint_, {});
  EXPECT_THAT(texts_of(list), ElementsAre("text 1", "text 4", "text 21", "text 2", "text 9", "text 11"));
  EXPECT_EQ(list.utterances[0].cer, 1.0);
  EXPECT_EQ(list.utterances[0].step, 10u);
  EXPECT_EQ(list.utterances[0].visits, 3u);
  EXPECT_EQ(list.utterances[0].cut, 0.45);
  EXPECT_TRUE(list.utterances[5].is_bad_file);
  EXPECT_EQ(list.unknown, 0u);
}

TEST_F(QuarantineListTest, CountsDomainsAndNamesSpeakersThatStandOut) {
  const QuarantineList list = quarantine_of(checkpoint_, {});
  ASSERT_EQ(list.domains.size(), 2u);
  EXPECT_EQ(list.domains[1].domain, "radio");
  EXPECT_EQ(list.domains[1].utterances, 20u);
  EXPECT_EQ(list.domains[1].wrong_texts, 4u);
  EXPECT_EQ(list.domains[1].bad_files, 1u);
  EXPECT_TRUE(list.domains[1].is_good);
  EXPECT_FALSE(list.domains[0].is_good);
  ASSERT_EQ(list.speakers.size(), 1u);
  EXPECT_EQ(list.speakers[0].speaker, "ann");
  EXPECT_EQ(list.speakers[0].wrong_texts, 3u);
  const std::string text = quarantine_text(list, 20, 100);
  EXPECT_THAT(text, HasSubstr("too hard to judge texts"));
  EXPECT_THAT(text, HasSubstr("radio / ann"));
}

TEST_F(QuarantineListTest, ReadsTheMemoryOfASamplerThatDrawsOtherwise) {
  nlohmann::json& sampler = checkpoint_.state.values["sampler"];
  sampler = {{"type", "uniform"}, {"domains", {"phone", "radio"}}, {"memory", sampler}};
  const QuarantineList list = quarantine_of(checkpoint_, {});
  EXPECT_EQ(list.utterances.size(), 6u);
  EXPECT_FALSE(list.domains[0].is_good);
  EXPECT_TRUE(list.domains[1].is_good);
}

TEST_F(QuarantineListTest, NamesTheLimitsOfTheRun) {
  EXPECT_THAT(quarantine_text(quarantine_of(checkpoint_, {}), 20, 100), HasSubstr("its median CER is above 20 %"));
  checkpoint_.files["config.yaml"] += "curriculum: {good_median: 0.1, quarantine_share: 0.2}\n";
  const std::string text = quarantine_text(quarantine_of(checkpoint_, {}), 20, 100);
  EXPECT_THAT(text, HasSubstr("its median CER is above 10 %"));
  EXPECT_THAT(text, HasSubstr("no more than 20 % is set aside")) << "four of twenty";
}

TEST_F(QuarantineListTest, LooksInOtherManifestsAndCountsALineThatComesTwiceOnce) {
  const std::string other = copy_of_manifest([](const std::string& line) { return line.find("text 4") == line.npos; });
  const QuarantineList list = quarantine_of(checkpoint_, {other, other});
  EXPECT_THAT(texts_of(list), ElementsAre("text 1", "text 21", "text 2", "text 9", "text 11"));
  EXPECT_EQ(list.unknown, 1u);
}

template <class Failure>
void expect_failure(const LoadedCheckpoint& checkpoint, const std::vector<std::string>& manifests, const char* part) {
  try {
    quarantine_of(checkpoint, manifests);
    ADD_FAILURE() << "expected " << part;
  } catch (const Failure& failure) {
    EXPECT_THAT(failure.what(), HasSubstr(part));
  }
}

TEST_F(QuarantineListTest, SaysWhatIsMissing) {
  const std::string strangers = copy_of_manifest([](const std::string&) { return false; });
  expect_failure<DataError>(checkpoint_, {strangers},
                            "found none of them in the manifests; name others with --manifest");
  std::filesystem::remove(path("train.jsonl"));
  expect_failure<DataError>(checkpoint_, {}, "expected a manifest that the run was trained on; found none, seen from ");
  checkpoint_.state.arrays["sampler.quarantine.utterance"] = StateArray::of(std::vector<uint32_t>{1, 2, 4, 9, 11, 28});
  expect_failure<DataError>(checkpoint_, {strangers}, "the checkpoint is damaged");
  checkpoint_.state.arrays.erase("sampler.quarantine.utterance");
  expect_failure<ConfigError>(checkpoint_, {strangers}, "expected a run whose sampler measures utterances");
}

TEST_F(QuarantineListTest, TheManifestIsTheSourcesLinesWithWhatWasMeasured) {
  std::ofstream(path("wrong.jsonl")) << quarantine_manifest(quarantine_of(checkpoint_, {}));
  const std::vector<Utterance> utterances = read_manifest(path("wrong.jsonl"));
  ASSERT_EQ(utterances.size(), 5u) << "without the unreadable one";
  EXPECT_EQ(utterances[0].audio_path, path("audio/1.wav"));
  EXPECT_EQ(utterances[1].offset_s, 75);
  EXPECT_EQ(utterances[0].id, checkpoint_.state.array<uint64_t>("sampler.ids")[1]);
  std::ifstream file(path("wrong.jsonl"));
  std::string first;
  std::getline(file, first);
  const auto line = nlohmann::json::parse(first);
  EXPECT_EQ(line.at("take"), 1) << "what the trainer does not know stays";
  EXPECT_EQ(line.at("quarantine").at("cer"), 1.0);
}

TEST_F(QuarantineListTest, TheTableFitsItsWidthAndHoldsNoControlCharacters) {
  QuarantineList list = quarantine_of(checkpoint_, {});
  list.utterances[0].utterance.text =
      "red\nand \x1b[31mmany more words than a terminal of a hundred columns has room for"
      " beside all the figures";
  list.utterances[0].utterance.audio_path = "/somewhere/" + std::string(80, 'x') + "/audio/" + std::string(60, 'y');
  const std::string text = quarantine_text(list, 3, 100);
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_THAT(text, HasSubstr("audio/4.wav @1:15"));
  EXPECT_THAT(text, HasSubstr("…" + std::string(31, 'y') + " "));
  EXPECT_THAT(text, HasSubstr("… 3 more; --most shows, --out writes them"));
  EXPECT_THAT(text, Not(HasSubstr("text 9")));
  const std::string table = text.substr(text.find("\n\n", text.find("radio / ann")) + 2);
  std::istringstream lines(table);
  size_t rows = 0;
  for (std::string line; std::getline(lines, line); ++rows) EXPECT_LE(display_width(line), 100u) << line;
  EXPECT_EQ(rows, 6u) << table;
}

}  // namespace
}  // namespace rehearse
