#include "data/speech/import/import_corpus.h"

#include "data/speech/import/repetitions.h"
#include "data/speech/import/source_files.h"
#include "data/speech/missing_audio.h"
#include "data/speech/utterance_fields.h"
#include "data/text/utf8.h"
#include "trainer/base/error.h"
#include "trainer/base/files.h"
#include "trainer/base/text/printable.h"

namespace rehearse {
namespace {

void apply(const ImportRequest& request, ImportedCorpus& corpus) {
  for (auto& [utterance, subsets, origin, name] : corpus.items) {
    if (!request.domain.empty()) utterance.domain = request.domain;
    if (!request.lang.empty()) utterance.lang = request.lang;
    if (!request.license.empty()) utterance.license = request.license;
    if (request.channel) utterance.channel = request.channel;
  }
}

// The reason against what the manifest could not say; empty: none.
std::string reason_against(const Utterance& utterance) {
  const std::pair<const char*, const std::string&> names[] = {{"domain", utterance.domain},
                                                              {"speaker", utterance.speaker},
                                                              {"lang", utterance.lang},
                                                              {"license", utterance.license}};
  for (const auto& [field, value] : names)
    if (!value.empty() && !is_name(value))
      return concat(field, ": expected a name without control characters, of at most ", kLongestName, " bytes; found ",
                    quoted(value));
  try {
    code_points(utterance.text);
    code_points(utterance.audio_path);
  } catch (const DataError& failure) {
    return failure.what();
  }
  for (const unsigned char c : utterance.audio_path)
    if (c < 0x20 || c == 0x7F)
      return concat("expected a file name without control characters; found ", quoted(utterance.audio_path));
  return "";
}

void keep_what_can_be_said(ImportedCorpus& corpus) {
  std::vector<ImportedUtterance> usable;
  for (ImportedUtterance& item : corpus.items) {
    const std::string reason = reason_against(item.utterance);
    if (reason.empty())
      usable.push_back(std::move(item));
    else
      corpus.rejected.push_back({item.origin, reason});
  }
  corpus.items = std::move(usable);
}

// Fills in the duration, or checks the one the source states. DataError when the audio is unusable.
void complete(Utterance& utterance, const AudioReaders& readers) {
  constexpr double kHeard_s = 0.01;
  constexpr int kAnyRateHz = 16000;
  const double measured_s = readers.duration_s(utterance.audio_path);
  if (utterance.channel)
    readers.read(utterance.audio_path, 0, kHeard_s, kAnyRateHz, *utterance.channel);  // is it there
  if (utterance.offset_s >= measured_s)
    throw DataError("offset: expected less than ", measured_s, " s; found ", utterance.offset_s);
  if (utterance.duration_s <= 0) utterance.duration_s = measured_s - utterance.offset_s;
  expect_no_missing(utterance.audio_path, utterance.duration_s, measured_s - utterance.offset_s);
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

ImportSummary write_manifests(ImportedCorpus& corpus, const fs::path& folder) {
  ImportSummary summary;
  std::vector<Utterance> all;
  std::map<std::string, std::vector<Utterance>> parts;
  for (const auto& [utterance, subsets, origin, name] : corpus.items) {
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
  summary.skipped = std::move(corpus.skipped);
  summary.notes = std::move(corpus.notes);
  return summary;
}

}  // namespace

// A subset may be called like one of our own files.
std::string manifest_of_subset(const std::string& subset) {
  const bool is_taken = subset == "manifest" || subset == "rejected";
  return subset + (is_taken ? "_subset.jsonl" : ".jsonl");
}

ImportSummary import_corpus(const Importer& importer, const ImportRequest& request, const AudioReaders& readers,
                            const std::function<void(size_t, size_t)>& progress) {
  ImportedCorpus corpus = importer.read(request.source);
  make_folder(request.folder);
  apply(request, corpus);
  merge_repetitions(corpus);  // before the audio is looked at: many tables repeat all rows of others
  fill_domains(corpus);
  keep_what_can_be_said(corpus);
  look_at_audio(corpus, readers, progress);
  merge_repetitions(corpus);  // now that durations which some rows give and others do not are known
  set_ids(corpus, is_folder(request.source) ? request.source : request.source.parent_path());
  std::vector<RejectedSource> left_out = corpus.skipped;
  left_out.insert(left_out.end(), corpus.rejected.begin(), corpus.rejected.end());
  write_rejected((request.folder / "rejected.jsonl").string(), left_out);
  const std::vector<RejectedSource>& reasons = corpus.rejected.empty() ? corpus.skipped : corpus.rejected;
  if (corpus.items.empty())
    throw DataError(request.source.string(), ": expected usable utterances; found none, ", corpus.rejected.size(),
                    " rejected",
                    reasons.empty() ? "" : concat(": the first: ", reasons[0].source, ": ", reasons[0].reason));
  return write_manifests(corpus, request.folder);
}

}  // namespace rehearse
