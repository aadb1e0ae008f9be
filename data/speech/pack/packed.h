// Writing a packed corpus: a folder of immutable shards, pack.json and manifest.jsonl (data/FORMATS.md).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "data/speech/manifest.h"
#include "data/speech/pack/packed_shard.h"
#include "trainer/base/files.h"

namespace rehearse {

// What pack.json says. Only shards it lists exist for readers.
struct PackContents {
  struct Shard {
    std::string file;  // "shard-00000.h5"
    std::string sha256;
    uint64_t bytes = 0;
    uint64_t utterances = 0;
    uint64_t samples = 0;
  };
  int sample_rate_hz = 0;
  std::vector<Shard> shards;
};
PackContents read_pack_contents(const fs::path& folder);

// Length and SHA-256 against the pack.json beside the shard. DataError naming a torn, damaged or unlisted shard.
void verify_shard(const fs::path& shard);

// Appends utterances to the pack in a folder (made when absent). A shard counts once pack.json lists it: whatever kills
// the writer costs at most the unfinished shard. One writer per folder, held by a lock file. Not thread-safe.
class PackWriter {
 public:
  struct Options {
    PackEncoding encoding = PackEncoding::kFlac;
    int sample_rate_hz = 16000;
    uint64_t shard_bytes = 1ull << 30;  // a shard file is at most this long
  };
  // files outlives the writer. ConfigError when the pack there has another sample rate.
  PackWriter(const fs::path& folder, const Options& options, FileLayer& files);
  ~PackWriter();

  bool has(uint64_t id) const { return entries_.contains(id); }
  // samples at the pack's rate; line is the utterance's manifest line: all its fields are kept, with the same stable
  // id.
  void add(const Utterance& utterance, const std::string& line, const std::vector<float>& samples);
  // For an utterance that is there: its manifest line gets the text and the other fields of `line` when they differ,
  // and then the result is true. The audio stays. DataError when it has another duration than the packed one.
  bool correct(const Utterance& utterance, const std::string& line);
  // Makes everything added and corrected so far durable and visible. Without it the open shard and the corrections
  // are dropped.
  void finish();

  const PackContents& contents() const { return contents_; }

 private:
  struct OpenShard;
  // What the manifest says of an utterance.
  struct Entry {
    uint64_t fields = 0;  // their hash
    double duration_s = 0;
  };
  void read_entries();
  void recover_manifest();
  void commit_shard();
  void write_contents();

  fs::path folder_;
  Options options_;
  FileLayer& files_;
  FileLock lock_;
  PackContents contents_;
  std::unordered_map<uint64_t, Entry> entries_;               // by stable id
  std::unordered_map<std::string, std::string> corrections_;  // source lines by stable id as text
  std::unique_ptr<OpenShard> open_;
};

}  // namespace rehearse
