// Going on from a run that did not tilt, or that did not know a domain: what is replayed is held all the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/data/text/text_support.h"
#include "tests/support/tiny_run.h"

namespace rehearse {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class FineTune : public ::testing::Test {
 protected:
  std::string folder(const std::string& name) const { return (folder_.path() / name).string(); }
  static std::string manifest(const std::string& name) { return (tiny_folder() / (name + "_train.jsonl")).string(); }

  ProcessResult train(const std::string& name, const std::vector<std::string>& sets, std::vector<std::string> line) {
    std::string list;
    for (const std::string& set : sets) list += (list.empty() ? "" : ", ") + manifest(set);
    line.insert(line.end(), {"--set", "data.train=[" + list + "]"});
    ProcessResult result = run_rehearse_ranks(2, tiny_train(folder(name), std::move(line)));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result;
  }
  std::vector<nlohmann::json> records(const std::string& name, const std::string& kind) const {
    std::vector<nlohmann::json> found;
    std::ifstream lines(folder(name) + "/metrics.jsonl");
    for (std::string line; std::getline(lines, line);)
      if (auto record = nlohmann::json::parse(line); record.at("kind") == kind) found.push_back(std::move(record));
    return found;
  }
  std::vector<nlohmann::json> reports_of(const std::string& name, const std::string& domain) const {
    std::vector<nlohmann::json> found;
    for (const nlohmann::json& record : records(name, "domains"))
      for (const nlohmann::json& one : record.at("domains"))
        if (one.at("name") == domain) found.push_back(one);
    return found;
  }
  std::string notes(const std::string& name) const {
    std::string text;
    for (const nlohmann::json& note : records(name, "note")) text += note.at("text").get<std::string>() + "\n";
    return text;
  }
  // The domain is known, watched for forgetting, and never tilted beyond its ceiling.
  void expect_held(const std::string& name, const std::string& domain) const {
    const std::vector<nlohmann::json> reports = reports_of(name, domain);
    ASSERT_GE(reports.size(), 10u);
    const double ceiling = reports.front().at("lambda_ceiling");
    for (const nlohmann::json& report : reports) {
      EXPECT_EQ(report.at("lambda_ceiling"), ceiling);
      EXPECT_LE(report.at("lambda").get<double>(), ceiling);
      EXPECT_GT(report.at("reference_cer").get<double>(), 0);
      EXPECT_LE(report.at("reference_cer").get<double>(), 1);
    }
    EXPECT_THAT(notes(name), Not(HasSubstr("without a ceiling")));
  }

  TemporaryFolder folder_{"fine_tune"};
};

const std::vector<std::string> kUniform = {"--set", "curriculum={type: uniform, max_repeats: 0}", "--set",
                                           "budget.steps=40"};
std::vector<std::string> replaying(const std::string& domain, std::vector<std::string> more) {
  more.insert(more.end(), {"--set", "curriculum.domains={" + domain + ": {replay: true}}", "--set", "budget.steps=30"});
  return more;
}

TEST_F(FineTune, FromAUniformRunTheOldDomainIsHeldAndWatched) {
  train("old", {"loud"}, kUniform);
  EXPECT_EQ(run_rehearse({"quarantine", folder("old")}).exit_code, 0) << "its observations are kept";
  train("new", {"loud", "soft"}, replaying("loud", {"--init", folder("old")}));
  expect_held("new", "loud");
  EXPECT_THAT(notes("new"), Not(HasSubstr("scored now"))) << "the uniform run has measured it";
  EXPECT_EQ(reports_of("new", "loud").front().at("unseen"), 0);
}

TEST_F(FineTune, ResumedItGoesOnBitForBit) {
  train("old", {"loud"}, kUniform);
  const auto line = [&](const char* steps, std::vector<std::string> more) {
    more.insert(more.end(), {"--set", "curriculum.domains={loud: {replay: true}}", "--set", steps, "--set",
                             "schedule={type: constant, warmup_share: 0}"});
    return more;
  };
  const std::string steps = "budget.steps=" + std::to_string(kTinySteps);
  train("unbroken", {"loud", "soft"}, line(steps.c_str(), {"--init", folder("old")}));
  train("broken", {"loud", "soft"}, line("budget.steps=20", {"--init", folder("old")}));
  train("broken", {"loud", "soft"}, line(steps.c_str(), {"--resume", "auto"}));
  EXPECT_TRUE(final_bytes(folder("unbroken"), "model.safetensors") ==
              final_bytes(folder("broken"), "model.safetensors"));
}

TEST_F(FineTune, ADomainThatTheOldRunLackedIsMeasuredOnceAtTheStart) {
  train("old", {"loud"}, {"--set", "budget.steps=40"});
  train("new", {"loud", "soft"}, replaying("soft", {"--init", folder("old")}));
  EXPECT_THAT(notes("new"), HasSubstr("domain soft: replay without an earlier run's measurements; 24 of its utterances"
                                      " scored now"));
  expect_held("new", "soft");
}

TEST_F(FineTune, WithoutAnOldRunItIsMeasuredToo) {
  train("new", {"loud", "soft"}, replaying("loud", {}));
  EXPECT_THAT(notes("new"), HasSubstr("domain loud: replay without an earlier run's measurements"));
  expect_held("new", "loud");
  EXPECT_EQ(reports_of("new", "loud").front().at("lambda_ceiling"), 0) << "nothing is learned yet: nothing to tilt to";
}

TEST_F(FineTune, AUniformRunMayFollowAnyRunAndKeepsWhatItKnew) {
  train("old", {"loud"}, {"--set", "budget.steps=40"});
  train("new", {"loud", "soft"},
        {"--init", folder("old"), "--set", "curriculum={type: uniform, domains: {loud: {replay: true}}}", "--set",
         "budget.steps=10"});
  EXPECT_TRUE(reports_of("new", "loud").front().contains("reference_cer"));
}

}  // namespace
}  // namespace rehearse
