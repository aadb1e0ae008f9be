#include "data/speech/pack/pack_corpus.h"

#include "data/speech/corpus.h"
#include "trainer/base/error.h"

namespace rehearse {
PackSummary pack_corpus(const std::vector<std::string>& manifests, const fs::path& folder,
                        const PackWriter::Options& options, const AudioReaders& readers, FileLayer& files,
                        const std::function<void(size_t, size_t)>& progress) {
  const size_t total = read_manifests(manifests).size();
  PackWriter writer(folder, options, files);
  PackSummary summary;
  const auto pack_one = [&](const Utterance& utterance, const std::string& line) {
    if (writer.has(utterance.id)) {
      ++summary.already_there;
      summary.updated += writer.correct(utterance, line) ? 1 : 0;
      return;
    }
    try {
      const std::vector<float> samples = read_audio(readers, utterance, options.sample_rate_hz);
      writer.add(utterance, line, samples);
      ++summary.packed;
      summary.seconds += static_cast<double>(samples.size()) / options.sample_rate_hz;
    } catch (const DataError& failure) {
      summary.rejected.push_back({utterance.audio_path, reason_without_path(utterance.audio_path, failure.what())});
    }
  };
  size_t done = 0;
  for (const std::string& manifest : manifests)
    scan_manifest(manifest, [&](Utterance&& utterance, const std::string& line) {
      pack_one(utterance, line);
      if (progress) progress(++done, total);
    });
  writer.finish();
  write_rejected((folder / "rejected.jsonl").string(), summary.rejected);
  for (const auto& shard : writer.contents().shards) summary.shard_bytes += shard.bytes;
  if (summary.packed + summary.already_there == 0)
    throw DataError(folder.string(), ": expected utterances to pack; found none usable, ", summary.rejected.size(),
                    " rejected", summary.rejected.empty() ? "" : ": the first: " + summary.rejected[0].reason);
  return summary;
}

}  // namespace rehearse
