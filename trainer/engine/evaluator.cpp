#include "trainer/engine/evaluator.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <numeric>

#include "data/loader/loader.h"
#include "data/speech/speech_batch.h"
#include "trainer/device/device.h"
#include "trainer/engine/long_speech.h"

namespace rehearse {
namespace {

using nlohmann::json;

constexpr double kAheadOf_s = 60;  // decoded by each loader thread ahead of the model, beyond the batch it is at

struct ScoringBatch {
  MicroBatch draws;
  double padded_s = 0;
  bool is_long = false;  // one utterance, computed in windows: by its manifest, whatever its file holds
};

// Independent of the world: sorted by length, cut where a batch would exceed its padded seconds. What is computed in
// windows is alone.
std::vector<ScoringBatch> cut_batches(const Corpus& corpus, std::vector<uint32_t> order, double batch_seconds) {
  const auto& items = corpus.items();
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return items[a].utterance.duration_s > items[b].utterance.duration_s;
  });
  std::vector<ScoringBatch> batches;
  double longest_s = 0;
  for (uint32_t utterance : order) {
    const double duration_s = items[utterance].utterance.duration_s;
    if (batches.empty() || longest_s > kWholeUpTo_s || batches.back().padded_s + longest_s > batch_seconds) {
      batches.emplace_back();
      longest_s = duration_s;
      batches.back().is_long = duration_s > kWholeUpTo_s;
    }
    Draw draw;
    draw.utterance = utterance;
    MicroBatch& draws = batches.back().draws;
    draws.positions.push_back(static_cast<uint32_t>(draws.draws.size()));
    draws.draws.push_back(draw);
    batches.back().padded_s += longest_s;
  }
  return batches;
}

// This rank's: each batch, the longest first, goes to the rank with the fewest padded seconds so far.
std::vector<ScoringBatch> share_of(std::vector<ScoringBatch> batches, const Communicator& communicator) {
  std::stable_sort(batches.begin(), batches.end(),
                   [](const auto& a, const auto& b) { return a.padded_s > b.padded_s; });
  std::vector<double> seconds(static_cast<size_t>(communicator.size()));
  std::vector<ScoringBatch> own;
  for (ScoringBatch& batch : batches) {
    const auto least = std::min_element(seconds.begin(), seconds.end());
    *least += batch.padded_s;
    if (least - seconds.begin() == communicator.rank()) own.push_back(std::move(batch));
  }
  return own;
}

json to_json(const EditCounts& counts) {
  return {counts.substitutions, counts.deletions, counts.insertions, counts.reference_length};
}

EditCounts counts_from(const json& value) {
  return {value.at(0), value.at(1), value.at(2), value.at(3)};
}

json to_json(const UtteranceScore& score) {
  return {score.utterance, to_json(score.characters), to_json(score.words), score.loss,
          score.is_empty,  score.hypothesis,          score.failure};
}

UtteranceScore score_from(const json& value) {
  return {value.at(0), counts_from(value.at(1)), counts_from(value.at(2)), value.at(3), value.at(4), value.at(5),
          value.at(6)};
}

TaskOutput heard(Recognizer& recognizer, const SpeechBatch& batch, bool is_long) {
  if (is_long) {
    Logits logits = logits_of(recognizer, batch.samples, {});
    const at::Tensor x = at::from_blob(logits.values.data(), {1, logits.frames, logits.classes}, at::kFloat);
    TaskOutput output = recognizer.task().judge({x, {logits.frames}}, batch);
    output.collect();
    output.logits = {};  // they end with this block
    return output;
  }
  ForwardContext context;
  context.ids = batch.ids;
  TaskOutput output;
  on_device(batch, "validation.batch_seconds", [&] { output = recognizer.task().forward(batch, context); });
  output.collect();
  return output;
}

std::vector<UtteranceScore> scores_of(const Corpus& corpus, const Batch& batch, const Recognizer& recognizer,
                                      const TaskOutput& output, bool with_hypotheses) {
  std::vector<UtteranceScore> scores;
  for (size_t i = 0; i < batch.size(); ++i) {
    const Corpus::Item& item = corpus.items()[batch.draws[i].utterance];
    UtteranceScore score;
    score.utterance = batch.draws[i].utterance;
    score.failure = batch.failures[i];
    std::string hypothesis;
    if (score.failure.empty()) hypothesis = recognizer.text_of(output.hypotheses[i], item.utterance.lang);
    score.characters = character_edits(item.reference, hypothesis);
    score.words = word_edits(item.reference, hypothesis);
    score.loss = output.losses[i];
    score.is_empty = hypothesis.find_first_not_of(' ') == hypothesis.npos;
    if (with_hypotheses) score.hypothesis = std::move(hypothesis);
    scores.push_back(std::move(score));
  }
  return scores;
}

std::vector<UtteranceScore> own_scores(Recognizer& recognizer, const Corpus& corpus, const AudioReaders& readers,
                                       const ScoringOptions& scoring, const std::vector<ScoringBatch>& batches) {
  const std::vector<std::unique_ptr<Augmentation>> none;
  const SpeechLoading loading({Recognizer::kSampleRateHz, /*cache_bytes=*/0}, corpus, readers, none, 0);
  Loader loader(scoring.loader_threads,
                [&](const MicroBatch& plan, const std::stop_token& stop) { return loading.load(plan, stop); });
  const double most_ahead_s = scoring.batch_seconds + kAheadOf_s * scoring.loader_threads;
  std::vector<UtteranceScore> own;
  double ahead_s = 0;
  for (size_t pushed = 0, i = 0; i < batches.size(); ++i) {
    for (; pushed < batches.size() && (pushed == i || ahead_s < most_ahead_s); ++pushed) {
      loader.push(0, static_cast<int>(pushed), batches[pushed].draws);
      ahead_s += batches[pushed].padded_s;
    }
    ahead_s -= batches[i].padded_s;
    const std::unique_ptr<Batch> batch = loader.next();
    const TaskOutput output = heard(recognizer, static_cast<const SpeechBatch&>(*batch), batches[i].is_long);
    std::ranges::move(scores_of(corpus, *batch, recognizer, output, scoring.with_hypotheses), std::back_inserter(own));
  }
  return own;
}

}  // namespace

std::vector<UtteranceScore> score_corpus(Recognizer& recognizer, const Corpus& corpus, const AudioReaders& readers,
                                         const ScoringOptions& options, Communicator& communicator) {
  const at::NoGradGuard no_gradients;
  std::vector<uint32_t> wanted = options.utterances;
  if (wanted.empty()) {
    wanted.resize(corpus.items().size());
    std::iota(wanted.begin(), wanted.end(), 0u);
  }
  const auto batches = share_of(cut_batches(corpus, std::move(wanted), options.batch_seconds), communicator);
  json list = json::array();
  for (const UtteranceScore& score : own_scores(recognizer, corpus, readers, options, batches))
    list.push_back(to_json(score));
  const std::vector<uint8_t> packed = json::to_cbor(list);
  const auto* begin = reinterpret_cast<const std::byte*>(packed.data());
  std::vector<UtteranceScore> all;
  for (const auto& bytes : communicator.all_gather({begin, begin + packed.size()}, "all_gather (scores)").get())
    for (const json& one : json::from_cbor(bytes)) all.push_back(score_from(one));
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.utterance < b.utterance; });
  return all;
}

std::vector<DomainScore> scores_by_domain(const Corpus& corpus, const std::vector<UtteranceScore>& scores) {
  std::vector<DomainScore> domains(corpus.domains().size());
  std::vector<size_t> tokens(domains.size());
  for (size_t d = 0; d < domains.size(); ++d) domains[d].domain = corpus.domains()[d];
  for (const UtteranceScore& score : scores) {
    const Corpus::Item& item = corpus.items()[score.utterance];
    DomainScore& domain = domains[item.domain];
    ++domain.utterances;
    domain.hours += item.utterance.duration_s / 3600;
    domain.characters += score.characters;
    domain.words += score.words;
    domain.loss_per_token += score.loss;
    // What cannot be read, or has more tokens than frames, has no loss.
    if (score.loss != 0) tokens[item.domain] += item.tokens.size();
    domain.failures += score.failure.empty() ? 0 : 1;
    domain.empty += score.is_empty && score.failure.empty() ? 1 : 0;
  }
  for (size_t d = 0; d < domains.size(); ++d)
    domains[d].loss_per_token /= static_cast<double>(std::max<size_t>(1, tokens[d]));
  std::erase_if(domains, [](const DomainScore& domain) { return domain.utterances == 0; });  // all rejected
  return domains;
}

}  // namespace rehearse
