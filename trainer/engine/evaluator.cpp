#include "trainer/engine/evaluator.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "data/loader.h"
#include "trainer/engine/device.h"

namespace rehearse {
namespace {

using nlohmann::json;

// Independent of the world: sorted by length, cut where a batch would exceed its padded seconds.
std::vector<MicroBatch> cut_batches(const Corpus& corpus, double batch_seconds) {
  const auto& items = corpus.items();
  std::vector<uint32_t> order(items.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return items[a].utterance.duration_s > items[b].utterance.duration_s;
  });
  std::vector<MicroBatch> batches;
  double longest_s = 0;
  for (uint32_t utterance : order) {
    const double duration_s = items[utterance].utterance.duration_s;
    if (batches.empty() || longest_s * static_cast<double>(batches.back().draws.size() + 1) > batch_seconds) {
      batches.emplace_back();
      longest_s = duration_s;
    }
    Draw draw;
    draw.utterance = utterance;
    batches.back().positions.push_back(static_cast<uint32_t>(batches.back().draws.size()));
    batches.back().draws.push_back(draw);
  }
  return batches;
}

json to_json(const EditCounts& counts) {
  return {counts.substitutions, counts.deletions, counts.insertions, counts.reference_length};
}

EditCounts counts_from(const json& value) {
  return {value.at(0), value.at(1), value.at(2), value.at(3)};
}

json to_json(const UtteranceScore& score) {
  return {score.utterance, to_json(score.characters), to_json(score.words),
          score.loss,      score.hypothesis,          score.failure};
}

UtteranceScore score_from(const json& value) {
  return {value.at(0), counts_from(value.at(1)), counts_from(value.at(2)), value.at(3), value.at(4), value.at(5)};
}

void score_batch(Recognizer& recognizer, const Corpus& corpus, const LoadedBatch& batch,
                 std::vector<UtteranceScore>& scores) {
  ForwardContext context;
  context.ids = batch.ids;
  TaskOutput output;
  on_device(batch, "validation.batch_seconds", [&] { output = recognizer.task().forward(batch, context); });
  for (size_t i = 0; i < batch.utterances.size(); ++i) {
    const std::string& reference = corpus.items()[batch.utterances[i]].reference;
    UtteranceScore score;
    score.utterance = batch.utterances[i];
    score.failure = batch.failures[i];
    if (score.failure.empty()) score.hypothesis = recognizer.tokenizer().decode(output.hypotheses[i]);
    score.characters = character_edits(reference, score.hypothesis);
    score.words = word_edits(reference, score.hypothesis);
    score.loss = output.losses[i];
    scores.push_back(std::move(score));
  }
}

}  // namespace

std::vector<UtteranceScore> score_corpus(Recognizer& recognizer, const Corpus& corpus, const AudioReaders& readers,
                                         double batch_seconds, Communicator& communicator) {
  const at::NoGradGuard no_gradients;
  const std::vector<MicroBatch> batches = cut_batches(corpus, batch_seconds);
  const std::vector<std::unique_ptr<Augmentation>> none;
  Loader::Options options;
  options.sample_rate_hz = Recognizer::kSampleRateHz;
  options.cache_bytes = 0;
  Loader loader(options, corpus, readers, none, 0);
  const auto world = static_cast<size_t>(communicator.size()), rank = static_cast<size_t>(communicator.rank());
  for (size_t i = rank; i < batches.size(); i += world) loader.push(0, static_cast<int>(i), batches[i]);
  std::vector<UtteranceScore> own;
  for (size_t i = rank; i < batches.size(); i += world) score_batch(recognizer, corpus, loader.next(), own);

  json list = json::array();
  for (const UtteranceScore& score : own) list.push_back(to_json(score));
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
  for (size_t d = 0; d < domains.size(); ++d) domains[d].domain = corpus.domains()[d];
  for (const UtteranceScore& score : scores) {
    const Corpus::Item& item = corpus.items()[score.utterance];
    DomainScore& domain = domains[item.domain];
    ++domain.utterances;
    domain.hours += item.utterance.duration_s / 3600;
    domain.characters += score.characters;
    domain.words += score.words;
    domain.loss += score.loss;
  }
  for (DomainScore& domain : domains)
    domain.loss /= static_cast<double>(std::max<int64_t>(1, domain.characters.reference_length));
  return domains;
}

}  // namespace rehearse
