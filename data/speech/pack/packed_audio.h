// Reading a packed corpus (data/FORMATS.md).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "data/speech/audio/audio_reader.h"
#include "trainer/base/files.h"

namespace rehearse {

// "folder/shard-00000.h5#7"
struct PackedPath {
  fs::path shard;
  uint64_t row = 0;
};
std::optional<PackedPath> parse_packed_path(const std::string& path);

// Reads packed audio. A shard's checksum is verified once, before HDF5 opens it; after that a read is one of its file.
// What fails is tried again (data/speech/sound/byte_source.h). Thread-safe; files outlives it.
class PackedAudio {
 public:
  explicit PackedAudio(ReadLayer& files);
  ~PackedAudio();
  AudioClip read(const PackedPath& path, double offset_s, double duration_s) const;
  double duration_s(const PackedPath& path) const;

 private:
  class Shard;
  const Shard& shard_at(const fs::path& path) const;
  ReadLayer& files_;
  mutable std::mutex mutex_;
  mutable std::map<fs::path, std::unique_ptr<Shard>> shards_;
};

}  // namespace rehearse
