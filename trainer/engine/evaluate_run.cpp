#include "trainer/engine/evaluate_run.h"

#include <ATen/Parallel.h>

#include <iostream>
#include <map>

#include "data/speech/audio/audio_reader.h"
#include "trainer/base/error.h"
#include "trainer/base/files.h"
#include "trainer/checkpoint/checkpoint_report.h"
#include "trainer/device/device.h"
#include "trainer/engine/evaluation.h"
#include "trainer/engine/evaluator.h"
#include "trainer/engine/session.h"
#include "trainer/engine/text_report.h"

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
    result.left_out.push_back({manifest, rejection.domain, rejection.name, rejection.reason});
}

// For the reader of the figures: letters that no hypothesis can hold.
void add_notes(const std::string& manifest, const Corpus& corpus, const Normalizer& normalizer,
               EvaluationResult& result) {
  for (const std::string& line : text_warnings(corpus.text_losses(), TextUse::kScored))
    result.notes.push_back(manifest + ": " + line);
  for (const std::string& line : annotation_notes(corpus.text_losses(), normalizer))
    result.notes.push_back(manifest + ": " + line);
}

void write_results(const EvaluateRequest& request, const EvaluationResult& result) {
  std::cout << evaluation_text(result) << std::flush;  // first: a disk that fails now costs no figures
  FileLayer files;
  if (!request.json_path.empty()) replace_text(files, request.json_path, evaluation_json(result).dump(1) + "\n");
  if (!request.hypotheses_path.empty()) replace_text(files, request.hypotheses_path, hypotheses_text(result));
}

// Its utterances would count twice.
void expect_each_once(const std::vector<std::string>& manifests) {
  std::map<fs::path, std::string> given;
  for (const std::string& manifest : manifests) {
    std::error_code absent;  // is said when the manifest is read
    const auto [first, is_new] = given.emplace(fs::weakly_canonical(manifest, absent), manifest);
    if (!is_new)
      throw ConfigError("--manifest: expected every manifest once; found ", first->second, " and ", manifest,
                        "; leave one out");
  }
}

// All of them before anything is scored, so that the last one's mistakes cost no time.
std::vector<Corpus> corpora_of(const std::vector<std::string>& manifests, const Recognizer& recognizer) {
  std::vector<Corpus> corpora;
  for (const std::string& manifest : manifests) {
    corpora.push_back(corpus_of(manifest, recognizer));
    if (corpora.back().items().empty()) throw DataError(manifest, ": expected utterances to score; found none");
  }
  return corpora;
}

double most_rejected(const LoadedCheckpoint& checkpoint) {
  Config config = Config::parse(checkpoint.files.at("config.yaml"), (checkpoint.path / "config.yaml").string());
  return config.root().child("data").number("max_rejected_share", Corpus::Options{}.max_rejected_share, {0.0, 1.0});
}

int evaluate_in(World& world, Communicator& communicator, const EvaluateRequest& request) {
  at::set_num_threads(world.fair_threads());
  const Device device = Device::open(request.device, world, /*is_deterministic=*/true);
  const LoadedCheckpoint checkpoint = load_for_use(choose_checkpoint(request.checkpoint, request.step),
                                                   world.local_rank() == 0 ? Check::kChecksums : Check::kSizes);
  const auto recognizer = Recognizer::from_checkpoint(checkpoint, device.torch());
  const TrainingData training = TrainingData::of(checkpoint);
  const AudioReaders readers;
  EvaluationResult result;
  result.checkpoint = checkpoint.path.string();
  result.step = checkpoint.step;
  result.normalizer = recognizer->normalizer().name();
  const std::vector<Corpus> corpora = corpora_of(request.manifests, *recognizer);
  const ScoringOptions scoring{request.batch_seconds, world.fair_threads(), /*with_hypotheses=*/true};
  for (size_t i = 0; i < corpora.size(); ++i) {
    add_notes(request.manifests[i], corpora[i], recognizer->normalizer(), result);
    add_sets(request.manifests[i], corpora[i], score_corpus(*recognizer, corpora[i], readers, scoring, communicator),
             training, result);
  }
  if (world.rank() == 0) write_results(request, result);
  const std::vector<std::string> excessive = excessive_refusals(result, most_rejected(checkpoint));
  for (const std::string& line : excessive)
    if (world.rank() == 0) std::cerr << "rehearse: " << line << "\n";
  return excessive.empty() ? kExitOk : kExitData;
}

}  // namespace

int evaluate(const EvaluateRequest& request) {
  const auto prepare = [&](const World& world, CommOptions&) {
    expect_each_once(request.manifests);
    if (world.rank() != 0) return;  // which alone writes
    expect_writable("--json", request.json_path);
    expect_writable("--hypotheses", request.hypotheses_path);
  };
  return run_in_world(
      {.body = [&](World& world, Communicator& communicator) { return evaluate_in(world, communicator, request); },
       .prepare = prepare});
}

}  // namespace rehearse
