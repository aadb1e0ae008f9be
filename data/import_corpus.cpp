#include "data/import_corpus.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "data/missing_audio.h"
#include "data/text/utf8.h"
#include "trainer/base/error.h"
#include "trainer/base/files.h"

namespace rehearse {
namespace {

// Fills in the duration, or checks the one the source states. DataError when the audio or the text is unusable.
void complete(Utterance& utterance, const AudioReaders& readers) {
  code_points(utterance.text);
  const double measured_s = readers.duration_s(utterance.audio_path);
  if (utterance.offset_s >= measured_s)
    throw DataError("offset: expected less than ", measured_s, " s; found ", utterance.offset_s);
  if (utterance.duration_s <= 0) utterance.duration_s = measured_s - utterance.offset_s;
  expect_no_missing(utterance.audio_path, utterance.duration_s, measured_s - utterance.offset_s);
  if (utterance.id == 0)
    utterance.id = stable_utterance_id(utterance.domain, fs::path(utterance.audio_path).filename().string(),
                                       utterance.offset_s, utterance.duration_s);
}

void look_at_audio(ImportedCorpus& corpus, const AudioReaders& readers,
                   const std::function<void(size_t, size_t)>& progress) {
  std::vector<ImportedUtterance> usable;
  for (size_t i = 0; i < corpus.items.size(); ++i) {
    try {
      complete(corpus.items[i].utterance, readers);
      usable.push_back(std::move(corpus.items[i]));
    } catch (const DataError& failure) {
      const std::string& path = corpus.items[i].utterance.audio_path;
      corpus.rejected.push_back({path, reason_without_path(path, failure.what())});
    }
    if (progress) progress(i + 1, corpus.items.size());
  }
  corpus.items = std::move(usable);
}

// Equal file names in different folders get ids from their paths; what is still equal is a repetition.
void make_ids_unique(ImportedCorpus& corpus, const fs::path& root) {
  std::unordered_map<uint64_t, size_t> uses;
  for (const auto& item : corpus.items) ++uses[item.utterance.id];
  std::unordered_set<uint64_t> seen;
  std::vector<ImportedUtterance> unique;
  for (auto& item : corpus.items) {
    Utterance& utterance = item.utterance;
    if (uses[utterance.id] > 1) {
      const std::string path = fs::path(utterance.audio_path).lexically_relative(root).string();
      utterance.id = stable_utterance_id(utterance.domain, path.empty() ? utterance.audio_path : path,
                                         utterance.offset_s, utterance.duration_s);
    }
    if (seen.insert(utterance.id).second)
      unique.push_back(std::move(item));
    else
      corpus.rejected.push_back({utterance.audio_path, "repeats an earlier utterance"});
  }
  corpus.items = std::move(unique);
}

}  // namespace

// A subset may be called like one of our own files.
std::string manifest_of_subset(const std::string& subset) {
  const bool is_taken = subset == "manifest" || subset == "rejected";
  return subset + (is_taken ? "_subset.jsonl" : ".jsonl");
}

ImportSummary import_corpus(const Importer& importer, const fs::path& source, const fs::path& folder,
                            const AudioReaders& readers, const std::function<void(size_t, size_t)>& progress) {
  ImportedCorpus corpus = importer.read(source);
  make_folder(folder);
  look_at_audio(corpus, readers, progress);
  make_ids_unique(corpus, fs::is_directory(source) ? source : source.parent_path());
  write_rejected((folder / "rejected.jsonl").string(), corpus.rejected);
  if (corpus.items.empty())
    throw DataError(source.string(), ": expected usable utterances; found none, ", corpus.rejected.size(), " rejected",
                    corpus.rejected.empty() ? "" : ": the first: " + corpus.rejected[0].reason);

  ImportSummary summary;
  std::vector<Utterance> all;
  std::map<std::string, std::vector<Utterance>> parts;
  for (const auto& [utterance, subsets] : corpus.items) {
    all.push_back(utterance);
    summary.seconds += utterance.duration_s;
    for (const std::string& subset : subsets) parts[subset].push_back(utterance);
  }
  write_manifest((folder / "manifest.jsonl").string(), all);
  // Also when there is only one: the same command line goes on for a part of a corpus as for all of it.
  for (const auto& [subset, utterances] : parts) {
    summary.subsets[subset] = utterances.size();
    write_manifest((folder / manifest_of_subset(subset)).string(), utterances);
  }
  summary.utterances = all.size();
  summary.rejected = std::move(corpus.rejected);
  return summary;
}

}  // namespace rehearse
