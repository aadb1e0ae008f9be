#include "trainer/tasks/speech/transcript.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iostream>

#include "tests/data/text/text_support.h"
#include "trainer/base/random.h"

namespace rehearse {
namespace {

using ::testing::ElementsAre;

constexpr int32_t kBlank = 3;

// One best class per frame: "0" to "2" are tokens, "-" is the blank.
Logits logits_of(const std::string& path) {
  Logits logits{static_cast<int64_t>(path.size()), 4, std::vector<float>(4 * path.size())};
  for (size_t i = 0; i < path.size(); ++i)
    logits.values[4 * i + static_cast<size_t>(path[i] == '-' ? 3 : path[i] - '0')] = 1;
  return logits;
}
std::string path_of(const Logits& logits) {
  std::string path;
  for (int64_t i = 0; i < logits.frames; ++i) path += "012-"[best_class(logits, i)];
  return path;
}

TEST(PlanWindows, OneWindowWhenTheFileFits) {
  const auto windows = plan_windows(10, 10, 2);
  ASSERT_EQ(windows.size(), 1u);
  EXPECT_EQ(windows[0].length, 10);
}

TEST(PlanWindows, WindowsOverlapByTwoContextsAndReachTheEnd) {
  for (int64_t frames = 11; frames < 200; ++frames) {
    const auto windows = plan_windows(frames, 10, 2);
    for (size_t i = 0; i < windows.size(); ++i) {
      EXPECT_EQ(windows[i].first_frame, static_cast<int64_t>(i) * 6);
      EXPECT_GT(windows[i].length, 0);
    }
    EXPECT_EQ(windows.back().first_frame + windows.back().length, frames);
  }
}

TEST(AppendWindow, TheSeamLiesWhereBothAreQuiet) {
  Logits whole = logits_of("00--11-----22");
  append_window(whole, logits_of("1-----00--2"), 5, kBlank);  // the left end "22" is that window's mistake
  EXPECT_EQ(path_of(whole), "00--11-----00--2");
}

TEST(AppendWindow, ATokenThatTheWindowsPlaceAFrameApartIsHeardOnce) {
  for (const char* right : {"-----00-----", "----00------"}) {
    Logits whole = logits_of("11---------00-----");
    append_window(whole, logits_of(right), 6, kBlank);
    const auto tokens = greedy_tokens(whole, kBlank, 1);
    ASSERT_EQ(tokens.size(), 2u) << right;
    EXPECT_EQ(tokens[1].token, 0);
  }
}

TEST(AppendWindow, WithoutSilenceTheMiddleIsTheSeam) {
  Logits whole = logits_of("00000000");
  append_window(whole, logits_of("11111111"), 4, kBlank);
  EXPECT_EQ(path_of(whole), "000000111111");
}

TEST(AppendWindow, CuttingAFileAnywhereChangesNothing) {
  constexpr uint64_t kSeed = 11;
  std::cout << "seed " << kSeed << "\n";
  for (uint64_t round = 0; round < 200; ++round) {
    const RandomKey key = RandomKey(kSeed).with(round);
    std::string path;
    for (uint64_t i = 0; i < 300; ++i) path += key.uniform(i) < 0.4 ? "012"[key.below(3, 1000 + i)] : '-';
    Logits whole;
    for (const Window& window : plan_windows(300, 40, 8))
      append_window(whole,
                    logits_of(path.substr(static_cast<size_t>(window.first_frame), static_cast<size_t>(window.length))),
                    window.first_frame, kBlank);
    ASSERT_EQ(path_of(whole), path) << "round " << round;
  }
}

TEST(GreedyTokens, CollapseRepeatsAndKeepTimes) {
  const auto tokens = greedy_tokens(logits_of("-00-0112"), kBlank, 0.5);
  std::vector<std::tuple<int, double, double>> seen;
  for (const TimedToken& one : tokens) seen.emplace_back(one.token, one.start_s, one.end_s);
  EXPECT_THAT(seen, ElementsAre(std::tuple(0, 0.5, 1.5), std::tuple(0, 2.0, 2.5), std::tuple(1, 2.5, 3.5),
                                std::tuple(2, 3.5, 4.0)));
}

TEST(Words, AreBoundedBySpaces) {
  const TemporaryFolder folder("words");
  const std::string path = (folder.path() / "c.txt").string();
  train_tokenizer("char", 0, {"a b"}, path);
  const auto tokenizer = load_tokenizer(path);
  std::vector<TimedToken> tokens;
  for (int32_t token : tokenizer->encode("ab ba"))
    tokens.push_back({token, static_cast<double>(tokens.size()), static_cast<double>(tokens.size()) + 1});
  const auto words = words_of(tokens, *tokenizer);
  ASSERT_EQ(words.size(), 2u);
  EXPECT_EQ(words[0].text, "ab");
  EXPECT_EQ(words[1].text, "ba");
  EXPECT_EQ(words[1].start_s, 3);
  EXPECT_EQ(words[1].end_s, 5);
  EXPECT_TRUE(words_of({}, *tokenizer).empty());
}

}  // namespace
}  // namespace rehearse
