#include "trainer/tasks/speech/speech_task.h"

#include <chrono>

#include "data/text/scoring.h"
#include "models/kernels/ctc/ctc_length.h"
#include "models/ops/ctc_loss.h"
#include "models/torch_prelude.h"
#include "trainer/base/registry.h"
#include "trainer/base/text/printable.h"
#include "trainer/device/device.h"
#include "trainer/tasks/speech/examine/learning_doubts.h"
#include "trainer/tasks/speech/long_speech.h"
#include "trainer/tasks/speech/speech_sums.h"

namespace rehearse {
namespace {

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

AcousticModel::Context model_context(const Task::Context& context, const Features& features,
                                     const Tokenizer& tokenizer) {
  AcousticModel::Context model;
  model.input_channels = features.channels();
  model.num_classes = tokenizer.size() + 1;  // the blank is the last one
  model.seed = context.seed;
  model.options = at::TensorOptions().dtype(at::kFloat).device(context.device);
  model.all_reduce_sum = context.all_reduce_sum;
  return model;
}

ConfigNode features_node(const Task::Context& context) {
  ConfigNode root = context.root;
  return root.child("features");
}

int64_t read_cache_bytes(ConfigNode features) {
  return features.integer("cache_mb", 1024, {0, 1 << 24}) << 20;
}

SpecAugment::Options read_spec_augment(ConfigNode features) {
  ConfigNode node = features.child("spec_augment");
  return SpecAugment::Options::from(node);
}

std::unique_ptr<Tokenizer> find_tokenizer(const Task::Context& context) {
  if (context.checkpoint) return tokenizer_of(*context.checkpoint);
  ConfigNode root = context.root;
  return load_tokenizer(root.child("data").text("tokenizer", ""));
}

std::vector<std::unique_ptr<Augmentation>> find_augmentations(const Task::Context& context) {
  if (context.checkpoint) return {};
  ConfigNode root = context.root;
  ConfigNode data = root.child("data");
  return build_augmentations(data, {SpeechTask::kSampleRateHz});
}

ConfigNode model_node(const Task::Context& context) {
  ConfigNode root = context.root;
  ConfigNode model = root.child("model");
  model.child("head").choice("type", "ctc", {"ctc"});
  return model;
}

}  // namespace

std::unique_ptr<Tokenizer> tokenizer_of(const LoadedCheckpoint& checkpoint) {
  for (const auto& [name, text] : checkpoint.files)
    if (name.starts_with("tokenizer.")) return load_tokenizer((checkpoint.path / name).string());
  throw DataError(checkpoint.path.string(),
                  ": expected tokenizer.txt, tokenizer.model or that of a plug-in; found none");
}

SpeechTask::SpeechTask(const Options&, const Context& context)
    : root_(context.root),
      seed_(context.seed),
      device_(context.device),
      data_(read_data(context)),
      normalizer_(Normalizer::from(root_.child("data"))),
      tokenizer_(find_tokenizer(context)),
      augmentations_(find_augmentations(context)),
      features_(build_features(features_node(context), {kSampleRateHz})),
      cache_(read_cache_bytes(features_node(context))),
      spec_augment_(read_spec_augment(features_node(context))),
      model_(model_node(context), model_context(context, *features_, *tokenizer_)),
      silence_(std::make_unique<SilenceWatch>()) {}

SpeechTask::~SpeechTask() = default;

Sequence SpeechTask::logits(const SpeechBatch& batch, const ForwardContext& context) {
  FeatureBatch features = features_of(batch);
  if (context.is_training) spec_augment_.apply(features, context.seed, context.step, context.ids);
  return model_.forward({features.x, features.lengths}, context);
}

FeatureBatch SpeechTask::features_of(const SpeechBatch& batch) {
  if (const auto* pinned = dynamic_cast<const PinnedSpeechBatch*>(&batch))
    return features_->compute(pinned->pinned.to(device_, /*non_blocking=*/true), batch.num_samples);
  const auto size = static_cast<int64_t>(batch.num_samples.size());
  // The batch outlives this call, and the front-end does not write to its input.
  const at::Tensor samples =
      at::from_blob(const_cast<float*>(batch.samples.data()), {size, batch.max_samples}, at::kFloat);
  if (device_.is_cpu()) return cache_.compute(*features_, samples, batch.num_samples, batch.is_cacheable);
  // A device computes features faster than it would fetch cached ones.
  return features_->compute(samples.pin_memory().to(device_, /*non_blocking=*/true), batch.num_samples);
}

TaskOutput SpeechTask::forward(const Batch& any, const ForwardContext& context) {
  const auto& batch = static_cast<const SpeechBatch&>(any);
  const Sequence sequence = logits(batch, context);
  const double middle = now_s();
  auto judged = std::make_shared<Judged>(judge(sequence, batch));
  TaskOutput output;
  output.loss_sum = judged->loss_sum;
  output.normalizer = judged->normalizer;
  judged->loss_sum = at::Tensor();  // its graph ends with the output's
  output.pending = [this, judged, &batch](TaskOutput& later) { fill(later, batch, *judged, judged->collect()); };
  output.loss_seconds = now_s() - middle;
  return output;
}

SpeechTask::Judged SpeechTask::judge(const Sequence& logits, const SpeechBatch& batch) {
  Judged judged;
  std::vector<double> weights(batch.weights.begin(), batch.weights.end());
  for (size_t b = 0; b < weights.size(); ++b)
    if (!batch.failures[b].empty()) weights[b] = 0;
  CtcLoss loss = ctc_loss(logits.x, logits.lengths, batch.tokens, model_.blank(), weights);
  judged.loss_sum = loss.sum;
  for (size_t b = 0; b < weights.size(); ++b)
    judged.is_infeasible.push_back(ctc_frames_needed(batch.tokens[b]) > logits.lengths[b]);
  for (size_t b = 0; b < weights.size(); ++b)
    if (weights[b] > 0 && !loss.is_infeasible[b]) judged.normalizer += static_cast<double>(batch.tokens[b].size());
  for (int64_t length : logits.lengths) judged.frames += length;
  PendingPaths paths(logits.x, logits.lengths, model_.blank());
  loss.sum = at::Tensor();
  judged.collect = [loss = std::move(loss), paths = std::move(paths)]() mutable {
    Heard heard;
    loss.collect();
    heard.losses = std::move(loss.losses);
    for (GreedyPath& path : paths.collect()) {
      heard.hypotheses.push_back(std::move(path.tokens));
      heard.blank_frames += path.num_blank_frames;
    }
    return heard;
  };
  return judged;
}

// Why nothing can be learned from this draw's file, whatever augmentation makes of it; empty: something can.
std::string SpeechTask::unusable(const SpeechBatch& batch, size_t row, bool is_infeasible) const {
  if (!batch.failures[row].empty() || !is_infeasible) return batch.failures[row];
  const Corpus::Item& item = batch.corpus->items()[batch.draws[row].utterance];
  const double found_s = (static_cast<double>(batch.num_decoded[row]) + 0.5) / kSampleRateHz;
  const int64_t needed = ctc_frames_needed(item.tokens), there = output_frames(found_s);
  if (needed <= there) return "";
  return concat(rehearse::quoted(item.utterance.audio_path), ": expected ", needed,
                " output frames for its text; found ", there, " in the ", found_s,
                " s that it lasts (the manifest says ", item.utterance.duration_s,
                " s); correct its duration or its text");
}

void SpeechTask::fill(TaskOutput& output, const SpeechBatch& batch, const Judged& judged, const Heard& heard) const {
  output.sums[SpeechSums::kBlankFrames] = static_cast<double>(heard.blank_frames);
  output.sums[SpeechSums::kFrames] = static_cast<double>(judged.frames);
  for (size_t i = 0; i < batch.size() && batch.corpus; ++i) {
    ExampleResult& one = output.examples.emplace_back();
    one.loss = heard.losses[i];
    one.cost = static_cast<double>(batch.num_samples[i]) / kSampleRateHz;
    one.is_infeasible = judged.is_infeasible[i];
    one.unusable = unusable(batch, i, one.is_infeasible);
    if (!one.unusable.empty() || one.is_infeasible) continue;
    const Corpus::Item& item = batch.corpus->items()[batch.draws[i].utterance];
    const EditCounts counts = character_edits(item.reference, text_of(heard.hypotheses[i], item.utterance.lang));
    one.error = std::min(1.0, counts.rate());
    output.sums[SpeechSums::kEdits] += static_cast<double>(counts.edits());
    output.sums[SpeechSums::kReferenceLength] += static_cast<double>(counts.reference_length);
  }
}

SpeechTask::Judged SpeechTask::judge_scored(const SpeechBatch& batch, bool is_long) {
  if (is_long) {
    Logits whole = logits_of(*this, batch.samples, {});
    const at::Tensor x = at::from_blob(whole.values.data(), {1, whole.frames, whole.classes}, at::kFloat);
    Judged judged = judge({x, {whole.frames}}, batch);
    judged.collect = [heard = judged.collect()] { return heard; };  // the logits end with this block
    return judged;
  }
  ForwardContext context;
  context.ids = batch.ids;
  Judged judged;
  on_device(batch, "validation.batch_seconds", [&] { judged = judge(logits(batch, context), batch); });
  return judged;
}

std::vector<ExampleScore> SpeechTask::score(const ExampleSet& set, const Batch& any, bool with_detail) {
  const auto& batch = static_cast<const SpeechBatch&>(any);
  const bool is_long = batch.size() == 1 && is_scored_alone(set.dataset.exact_cost(batch.draws[0].utterance));
  const Heard heard = judge_scored(batch, is_long).collect();
  std::vector<ExampleScore> scores;
  for (size_t i = 0; i < batch.size(); ++i) scores.push_back(score_of(batch, i, heard, with_detail));
  return scores;
}

ExampleScore SpeechTask::score_of(const SpeechBatch& batch, size_t row, const Heard& heard, bool with_detail) const {
  const Corpus::Item& item = batch.corpus->items()[batch.draws[row].utterance];
  ExampleScore score;
  score.example = batch.draws[row].utterance;
  score.failure = batch.failures[row];
  std::string hypothesis;
  if (score.failure.empty()) hypothesis = text_of(heard.hypotheses[row], item.utterance.lang);
  const EditCounts characters = character_edits(item.reference, hypothesis);
  const EditCounts words = word_edits(item.reference, hypothesis);
  score.sums.resize(SpeechScore::kCount);
  score.sums[SpeechScore::kEdits] = static_cast<double>(characters.edits());
  score.sums[SpeechScore::kLength] = static_cast<double>(characters.reference_length);
  score.sums[SpeechScore::kWordEdits] = static_cast<double>(words.edits());
  score.sums[SpeechScore::kWords] = static_cast<double>(words.reference_length);
  score.sums[SpeechScore::kSubstitutions] = static_cast<double>(characters.substitutions);
  score.sums[SpeechScore::kDeletions] = static_cast<double>(characters.deletions);
  score.sums[SpeechScore::kInsertions] = static_cast<double>(characters.insertions);
  score.error = std::min(1.0, characters.rate());
  score.loss = heard.losses[row];
  score.loss_units = static_cast<double>(item.tokens.size());
  score.is_empty = hypothesis.find_first_not_of(' ') == hypothesis.npos;
  if (with_detail) score.detail = {{"reference", item.reference}, {"hypothesis", hypothesis}};
  return score;
}

int64_t SpeechTask::output_frames(double duration_s) const {
  const auto samples = static_cast<int64_t>(duration_s * kSampleRateHz);
  return model_.output_length(features_->num_frames(samples));
}

double SpeechTask::seconds_per_frame() const {
  // One second of further audio gives this many further frames.
  const int64_t frames = features_->num_frames(int64_t{1001} * kSampleRateHz) - features_->num_frames(kSampleRateHz);
  return 1000.0 / static_cast<double>(frames) * static_cast<double>(model_.stride());
}

std::vector<std::vector<std::string>> SpeechTask::describe() const {
  std::vector<std::vector<std::string>> rows;
  for (const AcousticModel::BlockSummary& block : model_.summary(features_->num_frames(int64_t{10} * kSampleRateHz)))
    rows.push_back({block.name, block.type, std::to_string(block.input_frames), std::to_string(block.output_frames),
                    std::to_string(block.output_channels), std::to_string(block.num_parameters)});
  return rows;
}

std::string SpeechTask::describe_note() const {
  return concat("one output frame every ", 1000 * seconds_per_frame(), " ms; ", tokenizer_->size(),
                " tokens and the blank");
}

REHEARSE_REGISTER(Task, "ctc", SpeechTask);

}  // namespace rehearse
