// What doctor hears about a run's speech: every line, every text, every file, and whether CTC can spell the texts; and
// the noise that a speech model is looked at with.
#include <algorithm>
#include <cmath>

#include "data/speech/overlap.h"
#include "models/kernels/ctc/ctc_length.h"
#include "models/ops/ctc_loss.h"
#include "models/torch_prelude.h"
#include "trainer/base/files.h"
#include "trainer/base/text/printable.h"
#include "trainer/tasks/speech/examine/doctor_data.h"
#include "trainer/tasks/speech/examine/doctor_vocabulary.h"
#include "trainer/tasks/speech/examine/learning_doubts.h"
#include "trainer/tasks/speech/speech_task.h"
#include "trainer/tasks/speech/text_report.h"

namespace rehearse {
namespace {

constexpr size_t kListed = 5;  // problems shown of each kind

using Checks = std::vector<ManifestCheck>;

void report(const ManifestCheck& check, Findings& findings) {
  findings.text(printable_lines(problems_text(check, kListed)));
  if (!check.failure.empty()) findings.refuse(kExitData, check.failure);
  const auto bad = static_cast<size_t>(
      std::count_if(check.problems.begin(), check.problems.end(), [](const auto& one) { return one.is_audio; }));
  if (bad > 0)
    findings.warn(concat(check.manifest, ": ", bad, " audio files are unreadable or suspect (", check.num_silent,
                         " of them silent)"));
  if (check.problems.size() > bad)
    findings.warn(concat(check.manifest, ": ", check.problems.size() - bad, " utterances do not suit this run"));
}

void report_long(const Checks& checks, Findings& findings) {
  for (const ManifestCheck& check : checks) {
    const auto count = std::ranges::count_if(
        check.usable, [](const Corpus::Item& item) { return item.utterance.duration_s > SpeechTask::kWholeUpTo_s; });
    if (count > 0)
      findings.text(concat(check.manifest, ": ", count, " utterances are longer than ", SpeechTask::kWholeUpTo_s,
                           " s; they are computed in windows, as `rehearse transcribe` does\n"));
  }
}

void report_texts(const Checks& checks, TextUse use, const Normalizer& normalizer, Findings& findings) {
  TextLosses losses;
  for (const ManifestCheck& check : checks) losses += check.losses;
  const std::string set = use == TextUse::kLearned ? "training: " : "validation: ";
  for (const std::string& line : text_warnings(losses, use)) findings.warn(set + line);
  for (const std::string& line : annotation_notes(losses, normalizer)) findings.text(set + line + "\n");
}

void judge_overlap(const Checks& train, const Checks& valid, Findings& findings) {
  constexpr size_t kMostReads = 100000;  // the whole of most corpora: every file was decoded above anyway
  const auto items = [](const Checks& checks) {
    std::vector<const Corpus::Item*> all;
    for (const ManifestCheck& check : checks)
      for (const Corpus::Item& item : check.usable) all.push_back(&item);
    return all;
  };
  if (valid.empty()) return;
  findings.title("training and validation");
  const SetOverlap overlap = find_overlap(items(train), items(valid), AudioReaders(), kMostReads);
  findings.text(overlap.text() + "\n");
  if (overlap.is_found()) findings.warn(overlap.text());
}

// Of all lines with text, whether usable or not.
void add_lines(const std::string& manifest, const Normalizer& normalizer, std::vector<SpokenLine>& lines) {
  for (const Utterance& utterance : read_manifest(manifest)) {
    try {
      std::string text = normalizer(utterance.text, utterance.lang);
      if (!text.empty()) lines.push_back({utterance.domain, std::move(text), utterance.duration_s});
    } catch (const DataError&) {  // listed as unreadable
    }
  }
}

std::shared_ptr<SpeechBatch> noise_of(int64_t size, double seconds) {
  auto batch = std::make_shared<SpeechBatch>();
  batch->draws.resize(static_cast<size_t>(size));
  batch->max_samples = static_cast<int64_t>(seconds * SpeechTask::kSampleRateHz);
  batch->num_samples.assign(batch->size(), batch->max_samples);
  batch->samples.resize(static_cast<size_t>(size * batch->max_samples));
  for (size_t i = 0; i < batch->samples.size(); ++i)
    batch->samples[i] = static_cast<float>(0.2 * RandomKey(1).uniform(i) - 0.1);
  return batch;
}

// No token twice in a row where there are several.
std::vector<int32_t> noise_text(uint64_t seed, size_t length, int vocabulary) {
  std::vector<int32_t> tokens;
  for (size_t i = 0; i < length; ++i) {
    const auto step =
        static_cast<int32_t>(1 + RandomKey(seed).below(static_cast<uint64_t>(std::max(1, vocabulary - 1)), i));
    tokens.push_back(((tokens.empty() ? 0 : tokens.back()) + step) % vocabulary);
  }
  return tokens;
}

}  // namespace

std::optional<Probe> SpeechTask::probe(const ProbeRequest& request) {
  constexpr double kSeconds = 15, kTokensPerSecond = 10;
  Probe probe;
  probe.model = &model_;
  probe.cost = request.seconds.value_or(kSeconds);
  probe.frame_ms = 1000 * seconds_per_frame() / static_cast<double>(model_.stride());
  const auto fitting = static_cast<int64_t>(request.budget / probe.cost);
  const auto batch = noise_of(request.batch > 0 ? request.batch : std::max<int64_t>(1, fitting), probe.cost);
  const at::Tensor samples =
      at::from_blob(batch->samples.data(), {static_cast<int64_t>(batch->size()), batch->max_samples}, at::kFloat);
  const FeatureBatch features = features_->compute(samples, batch->num_samples);
  probe.input = {features.x, features.lengths};
  const double most = static_cast<double>(model_.output_length(features.lengths[0])) / 2;
  const auto length = static_cast<size_t>(std::clamp(kTokensPerSecond * probe.cost, 1.0, std::max(1.0, most)));
  std::vector<std::vector<int32_t>> texts;
  for (uint64_t b = 0; b < batch->size(); ++b) texts.push_back(noise_text(b, length, tokenizer_->size()));
  probe.loss = [this, texts](const Sequence& logits) {
    return ctc_loss(logits.x, logits.lengths, texts, model_.blank(), std::vector<double>(texts.size(), 1)).sum;
  };
  probe.answer = [this, batch](Precision precision) {
    ForwardContext context;
    context.precision = precision;
    return logits(*batch, context).x;
  };
  return probe;
}

// By the training texts where they are there: their tokens and adjacent repeats against the model's own frames.
std::vector<std::string> SpeechTask::model_doubts() {
  std::vector<SpokenLine> lines;
  for (const std::string& path : data_.train)
    if (fs::is_regular_file(path)) add_lines(path, normalizer_, lines);
  const std::string remedy = "; lower the stride, or make a vocabulary of longer pieces: rehearse tokenizer --kind bpe";
  if (lines.empty()) {
    if (model_.stride() <= 4 || tokenizer_->file_name() != "tokenizer.txt") return {};
    return {concat("a stride of ", model_.stride(), " is much for a vocabulary of letters: above 4, texts spoken fast",
                   " have more letters than output frames (a rule of thumb, no training text is here)", remedy)};
  }
  size_t lost = 0;
  for (const SpokenLine& line : lines)
    lost += ctc_frames_needed(tokenizer_->encode(line.text)) > output_frames(line.duration_s) ? 1 : 0;
  if (lost == 0) return {};
  return {concat(lost, " of ", lines.size(), " training texts (",
                 std::round(1000.0 * static_cast<double>(lost) / static_cast<double>(lines.size())) / 10,
                 " %) have more tokens and adjacent repeats than output frames, one every ", 1000 * seconds_per_frame(),
                 " ms: CTC learns nothing from them", remedy)};
}

bool SpeechTask::examine(Findings& findings, int threads, const std::string& list_path) {
  Checks train, valid;
  for (const std::string& path : data_.train)
    train.push_back(check_manifest(path, normalizer_, *tokenizer_, data_.limits, frames(), threads));
  for (const std::string& path : data_.valid)
    valid.push_back(check_manifest(path, normalizer_, *tokenizer_, whole(), {}, threads));
  findings.title("data");
  for (const Checks* checks : {&train, &valid})
    for (const ManifestCheck& check : *checks) report(check, findings);
  size_t usable = 0;
  for (const ManifestCheck& check : train) usable += check.usable.size();
  if (usable == 0) findings.refuse(kExitData, "no utterance of the training data can be used");
  for (const std::string& line : excessive_losses(train, data_.limits.max_rejected_share))
    findings.refuse(kExitData, line);
  report_texts(train, TextUse::kLearned, normalizer_, findings);
  report_texts(valid, TextUse::kScored, normalizer_, findings);
  findings.title("durations of usable training data");
  findings.text(durations_text(train));
  findings.title(concat(
      "CTC: training texts that do not fit, tokens and repeats > frames of an encoder of that stride; this model: "
      "its own, one every ",
      1000 * seconds_per_frame(), " ms"));
  std::vector<SpokenLine> lines;
  for (const ManifestCheck& check : train)
    if (check.failure.empty()) add_lines(check.manifest, normalizer_, lines);
  const double hop_s = root_.child("features").number("hop_ms", 10, {0.1, 1000}) / 1000;
  if (!lines.empty()) findings.text(feasibility_text(lines, *tokenizer_, hop_s, frames().there));
  report_long(valid, findings);
  judge_overlap(train, valid, findings);
  if (list_path.empty()) return usable > 0;
  FileLayer files;
  replace_text(files, list_path, problems_list(train) + problems_list(valid));
  findings.text("all findings: " + list_path + "\n");
  return usable > 0;
}

// Whether this corpus can teach this vocabulary to this model.
void SpeechTask::judge_learning(const ExampleSet& training, uint64_t parameters, Findings& findings) {
  const auto material =
      LearningMaterial::of(static_cast<const SpeechSet&>(training).corpus.items(), *tokenizer_, parameters);
  findings.title("learning");
  findings.text("to learn from: " + material_text(material) + "\n");
  for (const std::string& line : learning_doubts(material)) findings.warn(line);
}

}  // namespace rehearse
