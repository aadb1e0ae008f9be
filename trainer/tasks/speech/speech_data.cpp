// The parts of SpeechTask that know corpora and checkpoints.
#include <algorithm>
#include <cstring>
#include <map>

#include "data/speech/overlap.h"
#include "models/kernels/ctc/ctc_length.h"
#include "models/torch_prelude.h"
#include "trainer/base/files.h"
#include "trainer/base/text/json_fields.h"
#include "trainer/base/text/printable.h"
#include "trainer/tasks/speech/examine/learning_doubts.h"
#include "trainer/tasks/speech/speech_sums.h"
#include "trainer/tasks/speech/speech_task.h"
#include "trainer/tasks/speech/text_report.h"

namespace rehearse {
namespace {

void expect_files(const ConfigNode& node, const std::string& key, const std::vector<std::string>& paths) {
  for (const std::string& path : paths)
    if (!fs::is_regular_file(path)) node.fail(key, concat("expected an existing file; found no \"", path, "\""));
}

// What base.yaml leaves empty is missing in the run's own file, not on a line of base.yaml.
[[noreturn]] void fail_missing(const ConfigNode& root, const std::string& path_expected_found) {
  throw ConfigError(root.where(), ": ", path_expected_found);
}

// A run that validates on nothing would have no best checkpoint and nobody would know.
void expect_utterances(const std::vector<std::string>& manifests) {
  for (const std::string& path : manifests)
    if (read_manifest(path).empty())
      throw DataError(path, ": expected utterances to validate on (data.valid); found none; leave it out");
}

const std::vector<std::unique_ptr<Augmentation>>& no_augmentations() {
  static const std::vector<std::unique_ptr<Augmentation>> kNone;
  return kNone;
}

const Corpus& corpus_of(const ExampleSet& set) {
  return static_cast<const SpeechSet&>(set).corpus;
}

}  // namespace

SpeechSet::SpeechSet(Corpus utterances, const AudioReaders& readers,
                     const std::vector<std::unique_ptr<Augmentation>>& augmentations, const SpeechLoading::Options& how,
                     uint64_t seed, bool is_for_gpu)
    : corpus(std::move(utterances)),
      augmented_(how, corpus, readers, augmentations, seed),
      plain_({how.sample_rate_hz, /*cache_bytes=*/0}, corpus, readers, no_augmentations(), 0),
      is_for_gpu_(is_for_gpu) {
  dataset = corpus.dataset();
}

// A copy to page-locked memory is the loader's work: the thread that trains would keep the GPU waiting for it.
std::unique_ptr<Batch> SpeechSet::load(const MicroBatch& plan, const std::stop_token& stop) const {
  if (!is_for_gpu_) return augmented_.load(plan, stop);
  auto batch = std::make_unique<PinnedSpeechBatch>();
  augmented_.load_into(*batch, plan, stop);
  const auto rows = static_cast<int64_t>(batch->num_samples.size());
  batch->pinned = at::empty({rows, batch->max_samples}, at::TensorOptions(at::kFloat).pinned_memory(true));
  std::memcpy(batch->pinned.mutable_data_ptr<float>(), batch->samples.data(), batch->samples.size() * sizeof(float));
  batch->samples = {};
  return batch;
}

SpeechTask::Data SpeechTask::read_data(const Context& context) {
  ConfigNode root = context.root;
  ConfigNode data = root.child("data");
  Data result;
  result.train = data.texts("train", {});
  result.valid = data.texts("valid", {});
  result.limits.min_duration_s = data.number("min_duration_s", 0.1, {0.0, 3600});
  result.limits.max_duration_s = data.number("max_duration_s", 20.0, {0.01, 3600});
  result.limits.max_rejected_share = data.number("max_rejected_share", 0.2, {0.0, 1.0});
  ConfigNode loader = data.child("loader");
  result.loading = SpeechLoading::Options::from(loader);
  result.loading.sample_rate_hz = kSampleRateHz;
  const std::string tokenizer = data.text("tokenizer", "");
  if (context.checkpoint) return result;
  if (result.train.empty()) fail_missing(root, "data.train: expected at least one manifest; found none");
  if (tokenizer.empty())
    fail_missing(root, "data.tokenizer: expected a file made by `rehearse tokenizer`; found nothing");
  expect_files(data, "train", result.train);
  expect_files(data, "valid", result.valid);
  expect_files(data, "tokenizer", {tokenizer});
  return result;
}

Corpus::Options SpeechTask::whole() const {
  Corpus::Options all = data_.limits;
  all.drop_infeasible = false;
  all.drop_textless = false;
  all.max_duration_s = 3600;
  return all;
}

FrameNeeds SpeechTask::frames() const {
  return {ctc_frames_needed, [this](double duration_s) { return output_frames(duration_s); }};
}

std::unique_ptr<ExampleSet> SpeechTask::set_of(Corpus corpus) const {
  return std::make_unique<SpeechSet>(std::move(corpus), readers_, augmentations_, data_.loading, seed_,
                                     !device_.is_cpu());
}

std::unique_ptr<ExampleSet> SpeechTask::training_set() {
  Corpus corpus(read_manifests(data_.train), normalizer_, *tokenizer_, data_.limits, frames());
  if (corpus.items().empty())
    root_.child("data").fail("train",
                             "expected at least one usable utterance; found none; `rehearse doctor` lists why");
  return set_of(std::move(corpus));
}

std::unique_ptr<ExampleSet> SpeechTask::validation_set() {
  if (data_.valid.empty()) return nullptr;
  expect_utterances(data_.valid);
  Corpus corpus(read_manifests(data_.valid), normalizer_, *tokenizer_, whole(), {});
  if (corpus.items().empty()) {
    const Rejection& first = corpus.rejections().front();
    throw DataError("data.valid: expected at least one usable utterance; found ", corpus.rejections().size(),
                    " that are not, first ", quoted(first.name), ": ", first.reason,
                    "; mend the manifest, or leave data.valid empty");
  }
  return set_of(std::move(corpus));
}

// A set is scored whole: neither length nor text leaves an utterance out.
std::unique_ptr<ExampleSet> SpeechTask::scored_set(const std::string& manifest) {
  Corpus::Options options;
  options.min_duration_s = 0;
  options.max_duration_s = 1e9;
  options.max_rejected_share = 1;
  options.drop_infeasible = false;
  options.drop_textless = false;
  return set_of(Corpus(read_manifest(manifest), normalizer_, *tokenizer_, options, {}));
}

std::vector<std::pair<uint64_t, std::string>> SpeechTask::training_ids() {
  std::vector<std::pair<uint64_t, std::string>> ids;
  for (const std::string& manifest : data_.train) {
    if (!fs::is_regular_file(manifest)) continue;
    for (const Utterance& utterance : read_manifest(manifest)) ids.emplace_back(utterance.id, utterance.domain);
  }
  return ids;
}

std::map<std::string, std::string> SpeechTask::files() const {
  return {{tokenizer_->file_name(), tokenizer_->serialized()}, {"front_end.json", front_end().dump(1)}};
}

nlohmann::json SpeechTask::facts() const {
  return {{"front_end", front_end()}, {"normalizer", normalizer_.name()}};
}

std::optional<RowMap> SpeechTask::adopt(const LoadedCheckpoint& checkpoint) {
  const std::string where = (checkpoint.path / "state.json").string();
  const JsonFields facts = JsonFields(checkpoint.state.values, where).child("facts");
  const nlohmann::json old_front_end = facts.object().value("front_end", nlohmann::json());
  if (old_front_end != front_end())
    throw ConfigError("features: expected the front-end of ", checkpoint.path.string(), ": ", old_front_end.dump(),
                      "; found ", front_end().dump());
  const auto old = tokenizer_of(checkpoint);
  if (old->serialized() == tokenizer_->serialized()) return std::nullopt;
  std::map<std::string, int> old_row;
  for (int token = 0; token < old->size(); ++token) old_row[old->piece(token)] = token;
  RowMap map{"head.", tokenizer_->size() + 1, old->size() + 1, {}, {}};
  for (int token = 0; token < tokenizer_->size(); ++token)
    if (const auto found = old_row.find(tokenizer_->piece(token)); found != old_row.end())
      map.rows.emplace_back(token, found->second);
  map.said = concat("the vocabulary differs from the checkpoint's: ", map.rows.size(), " of ", tokenizer_->size(),
                    " head rows were copied, the others start new");
  map.rows.emplace_back(tokenizer_->size(), old->size());  // the blank is behind the last token
  return map;
}

void SpeechTask::remark_on_texts(const Corpus& corpus, bool is_learned, std::vector<Remark>& remarks,
                                 nlohmann::json& line) const {
  const std::string set = is_learned ? "train" : "valid";
  add_text_losses(corpus.text_losses(), set, line["unknown_characters"], line["annotations"]);
  for (const std::string& text : text_warnings(corpus.text_losses(), is_learned ? TextUse::kLearned : TextUse::kScored))
    remarks.push_back({Remark::kWarning, concat("data.", set, ": ", text)});
  for (const std::string& text : annotation_notes(corpus.text_losses(), normalizer_))
    remarks.push_back({Remark::kInfo, concat("data.", set, ": ", text)});
}

std::vector<Remark> SpeechTask::start_remarks(const ExampleSet& training, const ExampleSet* validation,
                                              uint64_t parameters, nlohmann::json& line) {
  constexpr size_t kMostReads = 4000;  // a few seconds, during which the other ranks wait
  std::vector<Remark> remarks;
  line["unknown_characters"] = line["annotations"] = nlohmann::json::array();
  line["overlap"] = nullptr;
  const Corpus& corpus = corpus_of(training);
  for (const std::string& text : learning_doubts(LearningMaterial::of(corpus.items(), *tokenizer_, parameters)))
    remarks.push_back({Remark::kWarning, text});
  remark_on_texts(corpus, true, remarks, line);
  if (!validation) return remarks;
  remark_on_texts(corpus_of(*validation), false, remarks, line);
  const SetOverlap overlap = find_overlap(items_of(corpus), items_of(corpus_of(*validation)), readers_, kMostReads);
  remarks.push_back({overlap.is_found() ? Remark::kWarning : Remark::kInfo, overlap.text()});
  line["overlap"] = overlap.to_json();
  return remarks;
}

std::string SpeechTask::watch(const TaskSums& sums) {
  return silence_->observe(sums[SpeechSums::kBlankFrames], sums[SpeechSums::kFrames]);
}

// An average CER of 100 % does not say that there is no text at all.
std::vector<std::string> SpeechTask::remarks_on(const std::vector<ExampleScore>& scores) {
  const auto says_something = [](const ExampleScore& score) { return !score.is_empty; };
  if (scores.empty() || std::ranges::any_of(scores, says_something)) return {};
  return {concat("warning: validation: all ", scores.size(),
                 " hypotheses are empty, the model says nothing; if it stays so: ", what_to_try())};
}

std::string SpeechTask::closing_remark() {
  return silence_->is_silent() ? "warning: the run ends with a model that says nothing; " + what_to_try() : "";
}

// For the reader of the figures: letters that no hypothesis can hold.
std::vector<std::string> SpeechTask::notes_on(const ExampleSet& set) {
  std::vector<std::string> notes = text_warnings(corpus_of(set).text_losses(), TextUse::kScored);
  for (const std::string& line : annotation_notes(corpus_of(set).text_losses(), normalizer_)) notes.push_back(line);
  return notes;
}

}  // namespace rehearse
