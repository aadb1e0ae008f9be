// One shard of a packed corpus as an HDF5 file (data/FORMATS.md). The only file that wraps the HDF5 calls of packs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace rehearse {

namespace fs = std::filesystem;

enum class PackEncoding : uint8_t { kInt16 = 0, kFlac = 1 };

// Row n describes utterance n of the shard.
struct ShardIndex {
  std::vector<uint64_t> offset;   // first byte within the dataset `audio`
  std::vector<uint64_t> bytes;    // encoded
  std::vector<uint64_t> samples;  // decoded
  std::vector<uint8_t> encoding;  // PackEncoding

  size_t size() const { return offset.size(); }
};

struct ShardLayout {
  ShardIndex index;
  int sample_rate_hz = 0;
  uint64_t audio_file_offset = 0;  // of the dataset's bytes in the file, so that reads need no HDF5
  uint64_t audio_bytes = 0;
};

// Writes `path` from the encoded bytes in `audio_file` and fsyncs it. CommError when the disk fails.
void write_shard(const fs::path& path, const fs::path& audio_file, const ShardIndex& index,
                 const std::string& manifest_lines, int sample_rate_hz);

// fsync of a finished file. CommError when the disk fails.
void sync_file(const fs::path& path);

// Layout with every row inside the dataset. DataError naming the shard otherwise.
ShardLayout read_shard_layout(const fs::path& path);
// The manifest lines of the shard's utterances, as they were packed.
std::string read_shard_manifest(const fs::path& path);

}  // namespace rehearse
