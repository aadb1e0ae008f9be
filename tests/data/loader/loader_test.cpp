#include "data/loader/loader.h"

#include <gtest/gtest.h>

#include <cmath>

#include "data/speech/speech_batch.h"
#include "tests/data/speech/tone_reader.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

class LettersTokenizer final : public Tokenizer {
 public:
  int size() const override { return 256; }
  std::vector<int32_t> encode(const std::string& text, int* num_unknown) const override {
    if (num_unknown) *num_unknown = 0;
    return {text.begin(), text.end()};
  }
  std::string decode(const std::vector<int32_t>& tokens) const override { return {tokens.begin(), tokens.end()}; }
  std::string piece(int token) const override { return std::string(1, static_cast<char>(token)); }
  std::string serialized() const override { return ""; }
  std::string file_name() const override { return ""; }
};

constexpr int kNumUtterances = 12;

// Utterance i of domain "tones" lasts 0.2 s + i · 10 ms; its place in the corpus follows from its id.
Corpus tones(const std::vector<std::string>& special_paths = {}) {
  std::vector<Utterance> utterances;
  for (int i = 0; i < kNumUtterances; ++i) {
    const auto k = static_cast<size_t>(i);
    utterances.push_back(tone_utterance("tones", i, 0.2 + 0.01 * i, concat("text ", i),
                                        k < special_paths.size() ? special_paths[k] : ""));
  }
  return Corpus(utterances, Normalizer("raw/1"), LettersTokenizer(), {}, {});
}

uint32_t index_of(const Corpus& corpus, const std::string& path) {
  for (uint32_t i = 0; i < corpus.items().size(); ++i)
    if (corpus.items()[i].utterance.audio_path == path) return i;
  ADD_FAILURE() << path << " is not in the corpus";
  return 0;
}

std::vector<std::unique_ptr<Augmentation>> augmentations(const std::string& list) {
  Config config = Config::parse("{augment: " + list + "}");
  ConfigNode data = config.root();
  return build_augmentations(data, {});
}

MicroBatch micro_batch(const std::vector<uint32_t>& utterances, uint32_t visit = 0) {
  MicroBatch batch;
  for (uint32_t i = 0; i < utterances.size(); ++i) {
    batch.draws.push_back({utterances[i], visit, 0, false, true});
    batch.positions.push_back(10 + i);
  }
  return batch;
}

// How a plan is loaded: threads, and the bytes of the cache.
struct How {
  int threads = 1;
  int64_t cache_bytes = SpeechLoading::Options{}.cache_bytes;
};

class LoaderTest : public testing::Test {
 protected:
  // A loader of the corpus and all that it needs.
  struct Loading {
    Loading(const How& how, const Corpus& corpus, const LoaderTest& test)
        : speech({16000, how.cache_bytes}, corpus, test.readers_, test.augmentations_, 3),
          loader(how.threads,
                 [this](const MicroBatch& plan, const std::stop_token& stop) { return speech.load(plan, stop); }) {}
    SpeechLoading speech;
    Loader loader;
  };
  std::vector<SpeechBatch> load(const std::vector<MicroBatch>& plan, const How& how, const Corpus& corpus) {
    Loading loading(how, corpus, *this);
    for (size_t i = 0; i < plan.size(); ++i) loading.loader.push(i / 4, static_cast<int>(i % 4), plan[i]);
    std::vector<SpeechBatch> batches;
    for (size_t i = 0; i < plan.size(); ++i)
      batches.push_back(std::move(dynamic_cast<SpeechBatch&>(*loading.loader.next())));
    return batches;
  }

  AudioReaders readers_;
  std::vector<std::unique_ptr<Augmentation>> augmentations_;
};

std::vector<uint32_t> utterances_of(const Batch& batch) {
  std::vector<uint32_t> utterances;
  for (const Draw& draw : batch.draws) utterances.push_back(draw.utterance);
  return utterances;
}

TEST_F(LoaderTest, DeliversPaddedAudioWithItsTokens) {
  const Corpus corpus = tones();
  const SpeechBatch batch = load({micro_batch({4, 9, 4})}, {}, corpus)[0];
  EXPECT_EQ(utterances_of(batch), (std::vector<uint32_t>{4, 9, 4}));
  EXPECT_EQ(batch.positions, (std::vector<uint32_t>{10, 11, 12}));
  EXPECT_EQ(batch.weights, (std::vector<float>{1, 1, 1}));
  EXPECT_EQ(batch.failures, (std::vector<std::string>{"", "", ""}));
  EXPECT_GT(batch.load_seconds, 0);
  ASSERT_EQ(batch.samples.size(), 3 * static_cast<size_t>(batch.max_samples));
  for (size_t row = 0; row < 3; ++row) {
    const Corpus::Item& item = corpus.items()[batch.draws[row].utterance];
    EXPECT_EQ(batch.ids[row], item.utterance.id);
    EXPECT_EQ(batch.tokens[row], item.tokens);
    const auto length = static_cast<size_t>(batch.num_samples[row]);
    EXPECT_EQ(length, static_cast<size_t>(std::llround(item.utterance.duration_s * 16000)));
    const auto expected = tone(std::stod(item.utterance.audio_path.substr(5)), length);
    for (size_t i = 0; i < static_cast<size_t>(batch.max_samples); ++i)
      ASSERT_NEAR(batch.samples[row * static_cast<size_t>(batch.max_samples) + i], i < length ? expected[i] : 0.0f,
                  2e-5);
  }
}

TEST_F(LoaderTest, DeliversAnEmptyMicroBatch) {
  const Corpus corpus = tones();
  const SpeechBatch batch = load({MicroBatch{}}, {}, corpus)[0];
  EXPECT_EQ(batch.max_samples, 0);
  EXPECT_TRUE(batch.samples.empty());
}

std::vector<MicroBatch> random_plan(int num_batches) {
  std::vector<MicroBatch> plan;
  for (uint64_t b = 0; b < static_cast<uint64_t>(num_batches); ++b) {
    const RandomKey key = RandomKey(21).with(b);
    std::vector<uint32_t> utterances(1 + key.below(5, 0));
    for (size_t i = 0; i < utterances.size(); ++i)
      utterances[i] = static_cast<uint32_t>(key.below(kNumUtterances, i + 1));
    plan.push_back(micro_batch(utterances, static_cast<uint32_t>(b)));
  }
  return plan;
}

TEST_F(LoaderTest, DeliversTheSameInPlanOrderWhateverThreadsAndCache) {
  augmentations_ = augmentations("[{type: speed, share: 0.7}, {type: gain}, {type: noise, share: 0.5}]");
  const Corpus corpus = tones({"", "tone:broken"});
  const auto plan = random_plan(60);
  const auto expected = load(plan, {1, 0}, corpus);
  for (const How& how : {How{2, 0}, How{4, 1 << 20}, How{8, 20000}}) {
    const auto batches = load(plan, how, corpus);
    for (size_t i = 0; i < plan.size(); ++i) {
      ASSERT_EQ(batches[i].step, i / 4);
      ASSERT_EQ(batches[i].micro_batch, static_cast<int>(i % 4));
      ASSERT_EQ(utterances_of(batches[i]), utterances_of(expected[i]));
      ASSERT_EQ(batches[i].num_samples, expected[i].num_samples);
      ASSERT_EQ(batches[i].samples, expected[i].samples) << how.threads << " threads, micro-batch " << i;
      ASSERT_EQ(batches[i].weights, expected[i].weights);
      ASSERT_EQ(batches[i].failures, expected[i].failures);
    }
  }
}

TEST_F(LoaderTest, AugmentsEachVisitDifferently) {
  augmentations_ = augmentations("[{type: gain}]");
  const Corpus corpus = tones();
  const auto batches = load({micro_batch({2}, 0), micro_batch({2}, 1), micro_batch({2}, 0)}, {}, corpus);
  EXPECT_NE(batches[0].samples, batches[1].samples);
  EXPECT_EQ(batches[0].samples, batches[2].samples);
}

TEST_F(LoaderTest, GivesEachAugmentationOfTheListItsOwnKey) {
  const Corpus corpus = tones();
  augmentations_ = augmentations("[{type: gain, min_db: -10, max_db: 10}]");
  const auto once = load({micro_batch({2})}, {}, corpus)[0].samples;
  augmentations_ = augmentations("[{type: gain, min_db: -10, max_db: 10}, {type: gain, min_db: -10, max_db: 10}]");
  const auto twice = load({micro_batch({2})}, {}, corpus)[0].samples;
  augmentations_.clear();
  const auto clean = load({micro_batch({2})}, {}, corpus)[0].samples;
  EXPECT_GT(std::abs(once[10] / clean[10] - twice[10] / once[10]), 1e-3);
}

TEST_F(LoaderTest, DecodesOnceWhatFitsIntoTheCache) {
  const Corpus corpus = tones();
  const std::vector<MicroBatch> plan(5, micro_batch({0, 1, 2}));
  const auto reads = [&](int64_t cache_bytes) {
    const int before = num_tone_reads();
    load(plan, {1, cache_bytes}, corpus);
    return num_tone_reads() - before;
  };
  EXPECT_EQ(reads(1 << 20), 3);
  EXPECT_EQ(reads(0), 15);
  EXPECT_EQ(reads(2 * 16000 * 2 / 5), 11) << "room for one clip of the three";
}

TEST_F(LoaderTest, GivesFailedUtterancesWeightZeroAndKeepsTheReason) {
  const Corpus corpus = tones({"tone:broken", "tone:truncated"});
  const uint32_t broken = index_of(corpus, "tone:broken"), truncated = index_of(corpus, "tone:truncated");
  const uint32_t fine = index_of(corpus, "tone:220");
  const SpeechBatch batch = load({micro_batch({broken, fine, truncated})}, {}, corpus)[0];
  EXPECT_EQ(batch.weights, (std::vector<float>{0, 1, 0}));
  EXPECT_EQ(batch.failures[0], "tone:broken: expected audio; found noise; replace the file");
  EXPECT_EQ(batch.failures[1], "");
  EXPECT_EQ(batch.failures[2],
            "tone:truncated: expected 0.21 s, as stated for it; found 0.0525 s: the file is cut off or the stated "
            "duration is "
            "wrong; fetch the file again, or leave it out");
  EXPECT_EQ(batch.num_samples[0], 1600);
  EXPECT_TRUE(batch.tokens[0].empty());
  EXPECT_EQ(batch.ids[0], corpus.items()[broken].utterance.id);
  for (size_t i = 0; i < static_cast<size_t>(batch.max_samples); ++i) ASSERT_EQ(batch.samples[i], 0.0f);
}

TEST_F(LoaderTest, GivesDrawsThatAreNotLearnedWeightZero) {
  const Corpus corpus = tones();
  MicroBatch plan = micro_batch({1, 2});
  plan.draws[0].is_learned = false;
  const SpeechBatch batch = load({plan}, {}, corpus)[0];
  EXPECT_EQ(batch.weights, (std::vector<float>{0, 1}));
  EXPECT_EQ(batch.failures[0], "");
  EXPECT_GT(batch.num_samples[0], 1600);
  EXPECT_FALSE(batch.tokens[0].empty());
}

TEST_F(LoaderTest, DecodesOnlyAFewMicroBatchesAhead) {
  const Corpus corpus = tones();
  const int before = num_tone_reads();
  Loading loading({4, 0}, corpus, *this);
  Loader& loader = loading.loader;
  constexpr int kNumBatches = 300, kMostAhead = 16;
  for (int i = 0; i < kNumBatches; ++i) loader.push(static_cast<uint64_t>(i), 0, micro_batch({0}));
  for (int taken = 1; taken <= kNumBatches; ++taken) {
    EXPECT_EQ(loader.next()->step, static_cast<uint64_t>(taken - 1));
    ASSERT_LE(num_tone_reads() - before, taken + kMostAhead);
  }
}

TEST_F(LoaderTest, IsDestroyedWithWorkQueuedAndUnread) {
  const Corpus corpus = tones();
  for (int num_batches : {0, 1, 200}) {
    Loading loading({3, 0}, corpus, *this);
    Loader& loader = loading.loader;
    for (int i = 0; i < num_batches; ++i) loader.push(0, i, micro_batch({0, 1, 2}));
    if (num_batches == 200) loader.next();
  }
}

TEST_F(LoaderTest, HandsABugOfAWorkerToTheCaller) {
  class Faulty final : public Augmentation {
    void apply(std::vector<float>&, const RandomKey&) const override { throw std::logic_error("faulty"); }
  };
  augmentations_.push_back(std::make_unique<Faulty>());
  const Corpus corpus = tones();
  Loading loading({}, corpus, *this);
  Loader& loader = loading.loader;
  loader.push(0, 0, micro_batch({0}));
  loader.push(0, 1, MicroBatch{});
  EXPECT_THROW(loader.next(), std::logic_error);
  EXPECT_EQ(loader.next()->micro_batch, 1);
}

TEST_F(LoaderTest, RefusesToWaitForWhatWasNeverPushed) {
  const Corpus corpus = tones();
  Loading loading({}, corpus, *this);
  Loader& loader = loading.loader;
  EXPECT_THROW(loader.next(), BugError);
}

TEST(SpeechLoadingOptions, ReadTheirKeys) {
  Config config = Config::parse("{cache_mb: 2}");
  ConfigNode node = config.root();
  const SpeechLoading::Options options = SpeechLoading::Options::from(node);
  node.expect_all_read();
  EXPECT_EQ(options.cache_bytes, 2 << 20);
  Config bad = Config::parse("{cache_mb: -1}");
  ConfigNode bad_node = bad.root();
  EXPECT_THROW(SpeechLoading::Options::from(bad_node), ConfigError);
}

}  // namespace
}  // namespace rehearse
