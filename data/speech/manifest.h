// Manifests: JSON Lines with one utterance a line (data/FORMATS.md).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace rehearse {

// One manifest line, checked. Times in seconds of the stored file.
struct Utterance {
  uint64_t id = 0;         // stable: hash(domain, `id` or else file name, offset, duration, channel)
  std::string audio_path;  // absolute, or relative to the working directory; "shard.h5#7" for packed audio
  std::string text;        // as the source has it
  std::string domain;
  std::string speaker;  // empty when unknown
  std::string lang;     // empty when unknown
  std::string license;  // empty when unknown
  double duration_s = 0;
  double offset_s = 0;
  std::optional<int> channel;  // from 0; absent: all channels are averaged
};

// Reads one manifest, plain or gzip; audio paths become relative to the manifest's folder. Throws DataError "file:line:
// field: …" with the first bad lines, among them those whose stable id another line has.
std::vector<Utterance> read_manifest(const std::string& path);

// Reads several, one after another. DataError when one is listed twice or two lines have the same stable id.
std::vector<Utterance> read_manifests(const std::vector<std::string>& paths);

// Calls visit with each utterance and its line, in file order, up to the first bad line; no check for equal ids.
using ManifestVisitor = std::function<void(Utterance&& utterance, const std::string& line)>;
void scan_manifest(const std::string& path, const ManifestVisitor& visit);

// Throws DataError naming two utterances with the same stable id.
void expect_unique_ids(const std::vector<Utterance>& utterances);

// Writes lines that read_manifest reads back; audio paths relative to the manifest's folder where they are below it.
// An id that does not follow from the line's other fields is written as `id`, so ids survive the round trip.
void write_manifest(const std::string& path, const std::vector<Utterance>& utterances);

// An explicit `id` is hashed with the domain alone: pass 0 for offset and duration and no channel.
uint64_t stable_utterance_id(const std::string& domain, const std::string& id_or_file, double offset_s,
                             double duration_s, std::optional<int> channel = {});

}  // namespace rehearse
