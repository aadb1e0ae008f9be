#include "trainer/engine/evaluate_run.h"

#include <ATen/Parallel.h>

#include <iostream>

#include "trainer/engine/checkpoint_report.h"
#include "trainer/engine/evaluation.h"
#include "trainer/engine/evaluator.h"
#include "trainer/engine/session.h"

namespace rehearse {
namespace {

// A set is scored whole: neither length nor text leaves an utterance out.
Corpus corpus_of(const std::string& manifest, const Recognizer& recognizer) {
  Corpus::Options options;
  options.min_duration_s = 0;
  options.max_duration_s = 1e9;
  options.max_rejected_share = 1;
  options.drop_infeasible = false;
  options.drop_textless = false;
  return Corpus(read_manifest(manifest), recognizer.normalizer(), recognizer.tokenizer(), options, nullptr);
}

void add_sets(const std::string& manifest, const Corpus& corpus, const std::vector<UtteranceScore>& scores,
              const TrainingData& training, EvaluationResult& result) {
  std::vector<ScoredSet> sets(corpus.domains().size());
  std::vector<std::vector<uint64_t>> ids(sets.size());
  for (const UtteranceScore& score : scores) {
    const Corpus::Item& item = corpus.items()[score.utterance];
    sets[item.domain].utterances.push_back({item.utterance.id, item.utterance.audio_path, item.utterance.duration_s,
                                            item.reference, score.hypothesis, score.failure, score.characters,
                                            score.words});
    ids[item.domain].push_back(item.utterance.id);
  }
  for (size_t d = 0; d < sets.size(); ++d) {
    sets[d].manifest = manifest;
    sets[d].domain = corpus.domains()[d];
    sets[d].training = training.relation_of(sets[d].domain, ids[d]);
    result.sets.push_back(std::move(sets[d]));
  }
  for (const Rejection& rejection : corpus.rejections())
    result.left_out.push_back(rejection.audio_path + ": " + rejection.reason);
}

void write_results(const EvaluateRequest& request, const EvaluationResult& result) {
  FileLayer files;
  if (!request.json_path.empty()) replace_text(files, request.json_path, evaluation_json(result).dump(1) + "\n");
  if (!request.hypotheses_path.empty()) replace_text(files, request.hypotheses_path, hypotheses_text(result));
  std::cout << evaluation_text(result) << std::flush;
}

int evaluate_in(World& world, Communicator& communicator, const EvaluateRequest& request) {
  at::set_num_threads(world.fair_threads());
  const LoadedCheckpoint checkpoint = load_checkpoint(choose_checkpoint(request.checkpoint, request.step), true);
  const auto recognizer = Recognizer::from_checkpoint(checkpoint);
  const TrainingData training = TrainingData::of(checkpoint);
  const AudioReaders readers;
  EvaluationResult result{checkpoint.path.string(), checkpoint.step, recognizer->normalizer().name(), {}, {}};
  for (const std::string& manifest : request.manifests) {
    const Corpus corpus = corpus_of(manifest, *recognizer);
    add_sets(manifest, corpus, score_corpus(*recognizer, corpus, readers, request.batch_seconds, communicator),
             training, result);
  }
  if (world.rank() == 0) write_results(request, result);
  return 0;
}

}  // namespace

int evaluate(const EvaluateRequest& request) {
  return run_in_world(
      {.body = [&](World& world, Communicator& communicator) { return evaluate_in(world, communicator, request); }});
}

}  // namespace rehearse
