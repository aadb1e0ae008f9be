// Manifests: JSON Lines with one utterance a line (data/FORMATS.md).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace rehearse {

// One manifest line, checked. Times in seconds of the stored file.
struct Utterance {
  uint64_t id = 0;         // stable: hash(domain, `id` or else file name, offset, duration)
  std::string audio_path;  // absolute, or relative to the working directory; "shard.h5#7" for packed audio
  std::string text;        // as the source has it
  std::string domain;
  std::string speaker;  // empty when unknown
  std::string lang;     // empty when unknown
  std::string license;  // empty when unknown
  double duration_s = 0;
  double offset_s = 0;
};

// Reads one manifest; audio paths become relative to the manifest's folder. Throws DataError "file:line: field: …".
// Two equal ids are an error that asks for `id` (see expect_unique_ids for several files).
std::vector<Utterance> read_manifest(const std::string& path);

// Calls visit with each utterance and its line, in file order and without a check for equal ids.
using ManifestVisitor = std::function<void(Utterance&& utterance, const std::string& line)>;
void scan_manifest(const std::string& path, const ManifestVisitor& visit);

// Throws DataError naming two utterances with the same stable id.
void expect_unique_ids(const std::vector<Utterance>& utterances);

// Writes lines that read_manifest reads back; audio paths relative to the manifest's folder where they are below it.
// An id that does not follow from the line's other fields is written as `id`, so ids survive the round trip.
void write_manifest(const std::string& path, const std::vector<Utterance>& utterances);

// An explicit `id` is hashed with the domain alone: pass 0 for offset and duration.
uint64_t stable_utterance_id(const std::string& domain, const std::string& id_or_file, double offset_s,
                             double duration_s);

// "#" and 16 hexadecimal digits: an `id` of this form is the stable id itself, not hashed again.
std::string stable_id_text(uint64_t id);

}  // namespace rehearse
