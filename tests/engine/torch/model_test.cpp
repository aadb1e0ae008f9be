#include "trainer/engine/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

#include "data/speech/speech_batch.h"
#include "models/torch_prelude.h"
#include "tests/data/text/text_support.h"
#include "trainer/base/random.h"
#include "trainer/base/registry.h"
#include "trainer/tasks/speech/speech_task.h"

namespace rehearse {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr const char* kModel =
    "features: {channels: 16}\n"
    "model:\n  blocks:\n    - {type: subsample, channels: 16, factor: 2}\n"
    "    - {type: separable, channels: 16, kernel: 5, norm: batch}\n";

// A plug-in that no file extension of ours names.
class VowelTokenizer final : public Tokenizer {
 public:
  struct Options {
    static Options from(ConfigNode&) { return {}; }
  };
  static constexpr const char* kExample = "{type: vowels}";
  VowelTokenizer(const Options&, const Context& context) : letters_(context.bytes) {}
  int size() const override { return static_cast<int>(letters_.size()); }
  std::vector<int32_t> encode(const std::string&, int* num_unknown) const override {
    if (num_unknown) *num_unknown = 0;
    return {};
  }
  std::string decode(const std::vector<int32_t>&) const override { return ""; }
  std::string piece(int token) const override { return letters_.substr(static_cast<size_t>(token), 1); }
  std::string serialized() const override { return letters_; }
  std::string file_name() const override { return "tokenizer.vowels"; }

 private:
  std::string letters_;
};

REHEARSE_REGISTER(Tokenizer, "vowels", VowelTokenizer);

class ModelTest : public ::testing::Test {
 protected:
  std::unique_ptr<Model> make(const std::string& letters, uint64_t seed, const std::string& yaml = kModel) {
    const std::string path = (folder_.path() / "tokenizer.txt").string();
    train_tokenizer("char", 0, {letters}, path);
    return make_with(path, seed, yaml);
  }
  // Nothing is read of the training data here; it has to be named and to exist.
  std::unique_ptr<Model> make_with(const std::string& tokenizer, uint64_t seed, const std::string& yaml = kModel) {
    configs_.push_back(std::make_unique<Config>(
        Config::parse(yaml + "data: {train: [" + tokenizer + "], tokenizer: " + tokenizer + "}\n")));
    return std::make_unique<Model>(*configs_.back(), seed);
  }
  static SpeechTask& speech(Model& model) { return task_as<SpeechTask>(model, "test"); }
  LoadedCheckpoint saved(Model& recognizer) {
    CheckpointContents contents;
    contents.step = 3;
    contents.model = recognizer.weights(recognizer.arena().parameters(), recognizer.arena().buffers());
    contents.files = recognizer.task().files();
    contents.files["config.yaml"] = kModel;
    contents.state.values["facts"] = recognizer.task().facts();
    FileLayer files;
    return load_checkpoint(save_checkpoint(contents, folder_.path() / "checkpoints", files), true);
  }
  // gain: of the audio, which has the same ids whatever it is.
  static at::Tensor logits_of(Model& recognizer, double gain = 0.1) {
    SpeechBatch batch;
    batch.is_cacheable = true;
    batch.max_samples = 8000;
    batch.num_samples = {8000, 6000};
    batch.samples.assign(16000, 0.0f);
    for (int64_t b = 0; b < 2; ++b)
      for (int64_t i = 0; i < batch.num_samples[static_cast<size_t>(b)]; ++i)
        batch.samples[static_cast<size_t>(b * 8000 + i)] =
            static_cast<float>(gain * RandomKey(static_cast<uint64_t>(b)).normal(static_cast<uint64_t>(i)));
    batch.ids = {1, 2};
    batch.tokens = {{0}, {1}};
    batch.weights = {1, 1};
    batch.failures = {"", ""};
    const at::NoGradGuard no_gradients;
    ForwardContext context;
    context.ids = batch.ids;
    return speech(recognizer).logits(batch, context).x;
  }

  TemporaryFolder folder_{"recognizer"};
  std::vector<std::unique_ptr<Config>> configs_;
};

TEST_F(ModelTest, ATokenizerOfAPluginComesBackFromACheckpoint) {
  std::ofstream(folder_.path() / "letters.vowels") << "aeiou";
  const auto recognizer = make_with((folder_.path() / "letters.vowels").string(), 1);
  const auto again = Model::from_checkpoint(saved(*recognizer));
  EXPECT_EQ(speech(*again).tokenizer().size(), 5);
  EXPECT_EQ(speech(*again).tokenizer().serialized(), "aeiou");
}

TEST_F(ModelTest, MissingDataIsNamedWithItsKey) {
  const std::string there = (folder_.path() / "there.txt").string();
  std::ofstream(there) << "a\n";
  const auto refusal = [&](const std::string& text) -> std::string {
    const std::string path = (folder_.path() / "run.yaml").string();
    std::ofstream(path) << text;
    Config config = Config::load(path);
    try {
      Model(config, 1);
      return "";
    } catch (const ConfigError& failure) {
      return failure.what();
    }
  };
  const std::string path = (folder_.path() / "run.yaml").string();
  for (const std::string base : {"", "extends: base\n"}) {
    EXPECT_EQ(refusal(base + "seed: 1\n"), path + ": data.train: expected at least one manifest; found none");
    EXPECT_THAT(refusal(base + "data: {train: [x]}"), HasSubstr("run.yaml: data.tokenizer: expected a file"));
  }
  EXPECT_THAT(refusal("data: {train: [/nowhere/train.jsonl], tokenizer: " + there + "}"),
              AllOf(HasSubstr("data.train"), HasSubstr("/nowhere/train.jsonl")));
  EXPECT_THAT(refusal("data: {train: [" + there + "], tokenizer: /nowhere/t.txt}"),
              AllOf(HasSubstr("data.tokenizer"), HasSubstr("/nowhere/t.txt")));
  EXPECT_EQ(refusal("data: {train: [" + there + "], tokenizer: " + there + ",\n  normalizer: foo}\n"),
            path + ":2: data.normalizer: expected one of basic/1, basic/2, raw/1; found \"foo\"");
}

TEST_F(ModelTest, AnUnknownTaskIsNamedWithItsKey) {
  Config config = Config::parse("task: {type: singing}\n");
  try {
    Model(config, 1);
    FAIL() << "there is no such task";
  } catch (const ConfigError& failure) {
    EXPECT_THAT(failure.what(), AllOf(HasSubstr("task.type"), HasSubstr("ctc"), HasSubstr("singing")));
  }
}

TEST_F(ModelTest, WhatIsHeardIsNormalisedAsReferencesAre) {
  const auto recognizer = make("abc '", 1);
  EXPECT_EQ(speech(*recognizer).text_of(speech(*recognizer).tokenizer().encode(" a  b 'c'  "), ""), "a b c");
}

TEST_F(ModelTest, WeightsThroughACheckpointGiveTheSameBits) {
  const auto trained = make("abc ", 1);
  trained->arena().buffers().add_(0.125);  // running statistics travel too
  const at::Tensor expected = logits_of(*trained);
  const LoadedCheckpoint checkpoint = saved(*trained);
  const auto other = make("abc ", 2);
  EXPECT_FALSE(at::equal(logits_of(*other), expected)) << "another seed is another model";
  other->load_weights(checkpoint, Model::Weights::kTrained);
  EXPECT_TRUE(at::equal(logits_of(*other), expected));
  const auto alone = Model::from_checkpoint(checkpoint);
  EXPECT_TRUE(at::equal(logits_of(*alone), expected)) << "a checkpoint needs nothing else";
}

TEST_F(ModelTest, HearsOtherAudioUnderTheSameIds) {
  const std::string plain = std::string("features: {channels: 16, normalize: none}\n") + (strchr(kModel, '\n') + 1);
  const auto recognizer = make("abc ", 1, plain), other = make("abc ", 1, plain);
  const at::Tensor quiet = logits_of(*recognizer, 0.01), loud = logits_of(*recognizer, 0.5);
  EXPECT_TRUE(at::equal(loud, logits_of(*other, 0.5))) << "as if nothing had been heard before";
  EXPECT_FALSE(at::equal(loud, quiet));
}

TEST_F(ModelTest, AveragedWeightsAreForUseAndTheTrainedOnesForGoingOn) {
  const auto trained = make("abc ", 1);
  const at::Tensor average = trained->arena().parameters() * 0.5;
  CheckpointContents contents;
  contents.step = 3;
  contents.model = trained->weights(trained->arena().parameters(), trained->arena().buffers());
  contents.ema = trained->weights(average, trained->arena().buffers());
  contents.files = trained->task().files();
  contents.files["config.yaml"] = kModel;
  FileLayer files;
  const LoadedCheckpoint checkpoint =
      load_checkpoint(save_checkpoint(contents, folder_.path() / "checkpoints", files), true);
  const auto other = make("abc ", 2);
  other->load_weights(checkpoint, Model::Weights::kTrained);
  EXPECT_TRUE(at::equal(other->arena().parameters(), trained->arena().parameters()));
  const auto used = Model::from_checkpoint(checkpoint);
  EXPECT_TRUE(at::equal(used->arena().parameters(), average));
}

TEST_F(ModelTest, ANewVocabularyKeepsSharedRowsAndSaysSo) {
  const auto old = make("abc ", 1);
  const LoadedCheckpoint checkpoint = saved(*old);
  const auto fresh = make("bcxy ", 2), untouched = make("bcxy ", 2);
  const std::string said = fresh->adopt(checkpoint);
  EXPECT_THAT(said, AllOf(HasSubstr("3 of 5"), HasSubstr("vocabulary differs")));

  const auto row = [](Model& recognizer, int index) {
    for (size_t i = 0; i < recognizer.arena().segments().size(); ++i)
      if (recognizer.arena().segments()[i].name == "head.weight") return recognizer.arena().tensor(i).detach()[index];
    throw std::runtime_error("no head.weight");
  };
  const auto index_of = [](const Tokenizer& tokenizer, const std::string& piece) {
    for (int token = 0; token < tokenizer.size(); ++token)
      if (tokenizer.piece(token) == piece) return token;
    return -1;
  };
  for (const char* piece : {"b", "c"})
    EXPECT_TRUE(at::equal(row(*fresh, index_of(speech(*fresh).tokenizer(), piece)),
                          row(*old, index_of(speech(*old).tokenizer(), piece))))
        << piece;
  EXPECT_TRUE(at::equal(row(*fresh, speech(*fresh).tokenizer().size()), row(*old, speech(*old).tokenizer().size())))
      << "the blank";
  const int x = index_of(speech(*fresh).tokenizer(), "x");
  ASSERT_GE(x, 0);
  EXPECT_TRUE(at::equal(row(*fresh, x), row(*untouched, x))) << "a new piece stays as initialised";
  for (size_t i = 0; i < fresh->arena().segments().size(); ++i)
    EXPECT_TRUE(fresh->arena().segments()[i].name.starts_with("head.") ||
                at::equal(fresh->arena().tensor(i), old->arena().tensor(i)))
        << fresh->arena().segments()[i].name;
}

TEST_F(ModelTest, AnotherModelIsRefusedByTensorAndShape) {
  const auto old = make("abc ", 1);
  const LoadedCheckpoint checkpoint = saved(*old);
  std::string wider = kModel;
  wider.replace(wider.find("kernel: 5"), 9, "kernel: 7");
  const auto other = make("abc ", 1, wider);
  try {
    other->load_weights(checkpoint, Model::Weights::kTrained);
    FAIL() << "a kernel of 7 took weights of 5";
  } catch (const DataError& failure) {
    EXPECT_THAT(failure.what(), AllOf(HasSubstr("model.safetensors"), HasSubstr("blocks.1"), HasSubstr("7")));
  }
}

}  // namespace
}  // namespace rehearse
