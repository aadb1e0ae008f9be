// Speech to text by connectionist temporal classification (Graves et al., 2006): front-end, acoustic model, CTC loss,
// greedy hypotheses; an utterance's error is its CER, at most 1.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "data/speech/features/feature_cache.h"
#include "data/speech/features/features.h"
#include "data/speech/features/spec_augment.h"
#include "data/text/normalizer.h"
#include "data/text/tokenizer.h"
#include "models/acoustic_model.h"
#include "trainer/tasks/speech/speech_set.h"
#include "trainer/tasks/task.h"

namespace rehearse {

class SpeechTask : public Task {
 public:
  static constexpr const char* kExample = "{type: ctc}";
  static constexpr int kSampleRateHz = 16000;
  static constexpr double kWholeUpTo_s = 60;  // longer utterances are scored in windows, as `transcribe` hears them
  struct Options {
    static Options from(ConfigNode&) { return {}; }
  };
  // Reads `features`, `model`, `data` and the tokenizer: the checkpoint's, else the file data.tokenizer.
  SpeechTask(const Options&, const Context& context);

  const TaskTerms& terms() const override { return terms_of("ctc"); }
  ParameterStore& store() override { return model_.store(); }
  TaskOutput forward(const Batch& batch, const ForwardContext& context) override;
  std::vector<ExampleScore> score(const ExampleSet& set, const Batch& batch, bool with_detail) override;
  bool is_scored_alone(double duration_s) const override { return duration_s > kWholeUpTo_s; }

  std::unique_ptr<ExampleSet> training_set() override;
  std::unique_ptr<ExampleSet> validation_set() override;
  std::unique_ptr<ExampleSet> scored_set(const std::string& manifest) override;
  std::vector<std::pair<uint64_t, std::string>> training_ids() override;

  std::map<std::string, std::string> files() const override;
  nlohmann::json facts() const override;
  std::optional<RowMap> adopt(const LoadedCheckpoint& checkpoint) override;

  std::vector<Remark> start_remarks(const ExampleSet& training, const ExampleSet* validation, uint64_t parameters,
                                    nlohmann::json& line) override;
  std::string watch(const TaskSums& sums) override;
  std::vector<std::string> remarks_on(const std::vector<ExampleScore>& scores) override;
  std::string closing_remark() override;
  std::string scoring_note() const override { return "text normalised by " + normalizer_.name(); }
  nlohmann::json scoring_facts() const override { return {{"normalizer", normalizer_.name()}}; }
  std::vector<std::string> notes_on(const ExampleSet& set) override;

  std::vector<std::vector<std::string>> describe() const override;
  std::string describe_note() const override;
  bool examine(Findings& findings, int threads, const std::string& list_path) override;
  void keep_weights() override { model_.keep_weights(); }
  std::optional<Probe> probe(const ProbeRequest& request) override;
  std::vector<std::string> model_doubts() override;
  void judge_learning(const ExampleSet& training, uint64_t parameters, Findings& findings) override;

  // Of a batch, on the model's device: [B, T', V], blank last.
  Sequence logits(const SpeechBatch& batch, const ForwardContext& context);
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const Normalizer& normalizer() const { return normalizer_; }
  // What tokens say, normalised as references are.
  std::string text_of(const std::vector<int32_t>& tokens, const std::string& lang) const {
    return normalizer_(tokenizer_->decode(tokens), lang);
  }
  // Exact number of output frames for an utterance of this duration, and the time between them.
  int64_t output_frames(double duration_s) const;
  double seconds_per_frame() const;
  nlohmann::json front_end() const { return {{"spec", features_->spec()}, {"hash", features_->hash()}}; }

 private:
  // What was heard, once the device has computed it.
  struct Heard {
    std::vector<double> losses;                    // [B]
    std::vector<std::vector<int32_t>> hypotheses;  // [B] tokens, greedy
    int64_t blank_frames = 0;
  };
  struct Judged {
    at::Tensor loss_sum;
    double normalizer = 0;
    std::vector<bool> is_infeasible;  // [B] fewer frames than its tokens need
    int64_t frames = 0;
    std::function<Heard()> collect;
  };
  Judged judge(const Sequence& logits, const SpeechBatch& batch);
  Judged judge_scored(const SpeechBatch& batch, bool is_long);
  void fill(TaskOutput& output, const SpeechBatch& batch, const Judged& judged, const Heard& heard) const;
  ExampleScore score_of(const SpeechBatch& batch, size_t row, const Heard& heard, bool with_detail) const;
  std::string unusable(const SpeechBatch& batch, size_t row, bool is_infeasible) const;
  FeatureBatch features_of(const SpeechBatch& batch);

  // What `data` says of training: how it is read, and what is left out.
  struct Data {
    std::vector<std::string> train, valid;
    Corpus::Options limits;
    SpeechLoading::Options loading;
  };
  static Data read_data(const Context& context);
  Corpus::Options whole() const;  // the limits of a set that is scored whole
  FrameNeeds frames() const;
  std::unique_ptr<ExampleSet> set_of(Corpus corpus) const;
  void remark_on_texts(const Corpus& corpus, bool is_learned, std::vector<Remark>& remarks, nlohmann::json& line) const;

  ConfigNode root_;
  uint64_t seed_;
  at::Device device_;
  Data data_;
  Normalizer normalizer_;
  std::unique_ptr<Tokenizer> tokenizer_;
  AudioReaders readers_;
  std::vector<std::unique_ptr<Augmentation>> augmentations_;
  std::unique_ptr<Features> features_;
  FeatureCache cache_;
  SpecAugment spec_augment_;
  AcousticModel model_;
  std::unique_ptr<class SilenceWatch> silence_;

 public:
  ~SpeechTask() override;
};

// The tokenizer among a checkpoint's files.
std::unique_ptr<Tokenizer> tokenizer_of(const LoadedCheckpoint& checkpoint);

}  // namespace rehearse
