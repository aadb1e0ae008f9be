#include "data/speech/pack/packed.h"

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "data/speech/audio/sound_file.h"
#include "trainer/base/error.h"
#include "trainer/base/random.h"

namespace rehearse {
namespace {

using nlohmann::ordered_json;

constexpr const char* kFormatName = "rehearse-pack";
constexpr int kFormatVersion = 1;
constexpr const char* kContentsFile = "pack.json";
constexpr const char* kManifestFile = "manifest.jsonl";
constexpr uint64_t kLeastShardBytes = 64u << 10;
constexpr uint64_t kHeaderBytes = 16u << 10;  // HDF5's own structures, generously
constexpr uint64_t kIndexBytesPerRow = 3 * sizeof(uint64_t) + sizeof(uint8_t);

bool is_there(const fs::path& path) {
  std::error_code failure;
  const bool is_there = fs::exists(path, failure);
  if (failure) throw CommError(path.string(), ": expected to look at it; found ", failure.message());
  return is_there;
}

uint64_t length_of(const fs::path& path) {
  std::error_code failure;
  const uint64_t bytes = fs::file_size(path, failure);
  if (failure) throw CommError(path.string(), ": expected the file just written; found ", failure.message());
  return bytes;
}

// A file that goes unless it was renamed to what it was written for.
class Temporary {
 public:
  explicit Temporary(fs::path path) : path_(std::move(path)) {}
  ~Temporary() {
    std::error_code ignored;
    fs::remove(path_, ignored);
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

std::string shard_name(size_t number) {
  char name[32];
  std::snprintf(name, sizeof(name), "shard-%05zu.h5", number);
  return name;
}

PackContents::Shard shard_of(const nlohmann::json& fields) {
  return {fields.at("file").get<std::string>(), fields.at("sha256").get<std::string>(),
          fields.at("bytes").get<uint64_t>(), fields.at("utterances").get<uint64_t>(),
          fields.at("samples").get<uint64_t>()};
}

// The line as it stands in the pack: another audio path, no offset and channel, and the stable id spelled out.
std::string packed_line(const std::string& line, const std::string& audio_filepath, const std::string& id) {
  ordered_json fields = ordered_json::parse(line);
  fields["audio_filepath"] = audio_filepath;
  fields.erase("offset");
  fields.erase("channel");
  fields["id"] = id;
  return fields.dump() + "\n";
}

// What a line says beside the place of its audio, whatever the order of its fields.
uint64_t hash_of_fields(const std::string& line) {
  auto fields = nlohmann::json::parse(line);
  for (const char* place : {"audio_filepath", "offset", "channel", "id"}) fields.erase(place);
  return hash_text(fields.dump());
}

// Packed lines, with the other fields of `newer` where it has a line of the same id.
std::string corrected_lines(const std::string& lines, const std::unordered_map<std::string, std::string>& newer) {
  std::istringstream in(lines);
  std::string corrected;
  for (std::string line; std::getline(in, line);) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const auto fields = nlohmann::json::parse(line);
    const auto id = fields.find("id");
    const auto found = id != fields.end() && id->is_string() ? newer.find(id->get<std::string>()) : newer.end();
    corrected += found == newer.end()
                     ? line + "\n"
                     : packed_line(found->second, fields.at("audio_filepath").get<std::string>(), found->first);
  }
  return corrected;
}

std::vector<std::byte> encoded(const std::vector<float>& samples, const PackWriter::Options& options) {
  const std::vector<int16_t> grid = to_int16(samples);
  if (options.encoding == PackEncoding::kFlac) return encode_flac(grid, options.sample_rate_hz);
  std::vector<std::byte> bytes(grid.size() * 2);
  for (size_t i = 0; i < grid.size(); ++i) {
    const auto word = static_cast<uint16_t>(grid[i]);
    bytes[2 * i] = static_cast<std::byte>(word & 0xFF);
    bytes[2 * i + 1] = static_cast<std::byte>(word >> 8);
  }
  return bytes;
}

}  // namespace

PackContents read_pack_contents(const fs::path& folder) {
  const fs::path path = folder / kContentsFile;
  const std::string text = read_text(path);
  try {
    const auto fields = nlohmann::json::parse(text);
    if (fields.at("format").get<std::string>() != kFormatName)
      throw DataError(path.string(), ": format: expected ", kFormatName, "; found ", fields.at("format").dump());
    if (fields.at("version").get<int>() != kFormatVersion)
      throw DataError(path.string(), ": version: expected ", kFormatVersion, "; found ", fields.at("version").dump(),
                      "; pack the corpus again with this program");
    PackContents contents;
    contents.sample_rate_hz = fields.at("sample_rate_hz").get<int>();
    for (const auto& shard : fields.at("shards")) contents.shards.push_back(shard_of(shard));
    return contents;
  } catch (const nlohmann::json::exception& failure) {
    throw DataError(path.string(), ": expected the contents of a pack; found ", failure.what());
  }
}

namespace {

PackContents::Shard listed_shard(const fs::path& path) {
  const PackContents contents = read_pack_contents(path.parent_path());
  for (const auto& shard : contents.shards)
    if (shard.file == path.filename()) return shard;
  throw DataError(path.string(), ": expected a shard that ", kContentsFile, " lists; found another; pack it again");
}

}  // namespace

void verify_shard(const fs::path& path) {
  const PackContents::Shard expected = listed_shard(path);
  std::error_code failure;
  const uint64_t bytes = fs::file_size(path, failure);
  if (failure) throw DataError(path.string(), ": expected a packed shard; found ", failure.message());
  if (bytes != expected.bytes)
    throw DataError(path.string(), ": expected ", expected.bytes, " bytes; found ", bytes,
                    "; the shard is torn: copy or pack it again");
  const std::string found = sha256_of_file(path);
  if (found != expected.sha256)
    throw DataError(path.string(), ": expected sha256 ", expected.sha256, "; found ", found,
                    "; the shard is damaged: copy or pack it again");
}

// The shard being filled; its encoded bytes are spooled to a temporary file.
struct PackWriter::OpenShard {
  explicit OpenShard(const fs::path& path) : file(path), spool(path, std::ios::binary | std::ios::trunc) {
    expect_good("to create it");
  }
  void expect_good(const char* what) const {
    if (!spool) throw CommError(file.path().string(), ": expected ", what, "; found ", std::strerror(errno));
  }
  uint64_t file_bytes() const {
    return kHeaderBytes + audio_bytes + manifest.size() + index.size() * kIndexBytesPerRow;
  }

  Temporary file;
  std::ofstream spool;
  ShardIndex index;
  std::string manifest;
  uint64_t audio_bytes = 0;
  uint64_t samples = 0;
};

PackWriter::PackWriter(const fs::path& folder, const Options& options, FileLayer& files)
    : folder_((make_folder(folder), folder)), options_(options), files_(files), lock_(folder / "pack.lock") {
  if (options_.shard_bytes < kLeastShardBytes)
    throw ConfigError("pack: shard size: expected at least ", kLeastShardBytes, " bytes; found ", options_.shard_bytes);
  if (is_there(folder_ / kContentsFile)) {
    contents_ = read_pack_contents(folder_);
    if (contents_.sample_rate_hz != options_.sample_rate_hz)
      throw ConfigError((folder_ / kContentsFile).string(), ": expected ", contents_.sample_rate_hz,
                        " Hz as in the shards there; found ", options_.sample_rate_hz,
                        " Hz; use that rate or another folder");
  } else {
    if (is_there(folder_ / shard_name(0)))
      throw DataError((folder_ / kContentsFile).string(), ": expected it beside ", shard_name(0),
                      "; found none; restore it or use another folder");
    contents_.sample_rate_hz = options_.sample_rate_hz;
    write_contents();
  }
  // What a writer that was killed has left.
  for (const std::string& name : {std::string("audio.tmp"), shard_name(contents_.shards.size()) + ".tmp"})
    Temporary(folder_ / name);
  recover_manifest();
}

PackWriter::~PackWriter() = default;

void PackWriter::read_entries() {
  entries_.clear();
  const fs::path path = folder_ / kManifestFile;
  if (!is_there(path)) return;
  scan_manifest(path.string(), [&](Utterance&& utterance, const std::string& line) {
    entries_[utterance.id] = {hash_of_fields(line), utterance.duration_s};
  });
}

// A writer killed between pack.json and manifest.jsonl leaves the latter behind; the shards hold the same lines, but
// for texts that were corrected since.
void PackWriter::recover_manifest() {
  read_entries();
  uint64_t expected = 0;
  for (const auto& shard : contents_.shards) expected += shard.utterances;
  if (entries_.size() == expected) return;
  const fs::path path = folder_ / kManifestFile;
  std::unordered_map<std::string, std::string> newest;
  if (is_there(path))
    scan_manifest(path.string(),
                  [&](Utterance&& utterance, const std::string& line) { newest[stable_id_text(utterance.id)] = line; });
  std::string lines;
  for (const auto& shard : contents_.shards) {
    verify_shard(folder_ / shard.file);
    lines += read_shard_manifest(folder_ / shard.file);
  }
  replace_text(files_, path, corrected_lines(lines, newest));
  read_entries();
}

bool PackWriter::correct(const Utterance& utterance, const std::string& line) {
  REHEARSE_CHECK(has(utterance.id), "only what is packed can be corrected");
  Entry& entry = entries_[utterance.id];
  // Microseconds, as in stable ids. An implied id has the duration in it; an explicit one says nothing of the audio.
  if (std::abs(entry.duration_s - utterance.duration_s) > 1.5e-6)
    throw DataError(folder_.string(), ": duration: expected ", entry.duration_s, " s, as packed under the id ",
                    stable_id_text(utterance.id), "; found ", utterance.duration_s, " s (\"", utterance.audio_path,
                    "\"); give it another `id`, or pack into another folder");
  const uint64_t fields = hash_of_fields(line);
  if (fields == entry.fields) return false;
  entry.fields = fields;
  corrections_[stable_id_text(utterance.id)] = line;
  return true;
}

void PackWriter::add(const Utterance& utterance, const std::string& line, const std::vector<float>& samples) {
  if (samples.empty()) throw DataError(utterance.audio_path, ": expected audio to pack; found 0 samples");
  if (has(utterance.id))
    throw DataError(folder_.string(), ": id: expected one not yet packed; found ", stable_id_text(utterance.id), " (\"",
                    utterance.audio_path, "\"); give it another `id`");
  const std::vector<std::byte> bytes = encoded(samples, options_);
  const uint64_t added = bytes.size() + line.size() + 256 + kIndexBytesPerRow;
  if (kHeaderBytes + added > options_.shard_bytes)
    throw DataError(utterance.audio_path, ": expected at most one shard of ", options_.shard_bytes, " bytes; found ",
                    added, "; cut the utterance");
  if (open_ && open_->file_bytes() + added > options_.shard_bytes) commit_shard();
  if (!open_) open_ = std::make_unique<OpenShard>(folder_ / "audio.tmp");

  const std::string name = shard_name(contents_.shards.size()) + "#" + std::to_string(open_->index.size());
  open_->spool.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  open_->expect_good("to write to it");
  open_->index.offset.push_back(open_->audio_bytes);
  open_->index.bytes.push_back(bytes.size());
  open_->index.samples.push_back(samples.size());
  open_->index.encoding.push_back(static_cast<uint8_t>(options_.encoding));
  open_->manifest += packed_line(line, name, stable_id_text(utterance.id));
  open_->audio_bytes += bytes.size();
  open_->samples += samples.size();
  entries_[utterance.id] = {hash_of_fields(line), utterance.duration_s};
}

void PackWriter::finish() {
  if (open_) commit_shard();
  if (corrections_.empty()) return;
  const fs::path path = folder_ / kManifestFile;
  replace_text(files_, path, corrected_lines(read_text(path), corrections_));
  corrections_.clear();
}

void PackWriter::commit_shard() {
  const std::unique_ptr<OpenShard> shard = std::move(open_);
  shard->spool.close();
  shard->expect_good("to write to it");
  const std::string name = shard_name(contents_.shards.size());
  const Temporary temporary(folder_ / (name + ".tmp"));
  write_shard(temporary.path(), shard->file.path(), shard->index, shard->manifest, options_.sample_rate_hz);
  PackContents::Shard entry{name, sha256_of_file(temporary.path()), length_of(temporary.path()), shard->index.size(),
                            shard->samples};
  files_.rename(temporary.path(), folder_ / name);
  files_.sync_folder(folder_);
  contents_.shards.push_back(std::move(entry));
  write_contents();

  const fs::path manifest = folder_ / kManifestFile;
  replace_text(files_, manifest, (is_there(manifest) ? read_text(manifest) : "") + shard->manifest);
}

void PackWriter::write_contents() {
  ordered_json fields;
  fields["format"] = kFormatName;
  fields["version"] = kFormatVersion;
  fields["sample_rate_hz"] = contents_.sample_rate_hz;
  fields["shards"] = ordered_json::array();
  for (const auto& shard : contents_.shards)
    fields["shards"].push_back({{"file", shard.file},
                                {"sha256", shard.sha256},
                                {"bytes", shard.bytes},
                                {"utterances", shard.utterances},
                                {"samples", shard.samples}});
  replace_text(files_, folder_ / kContentsFile, fields.dump(2) + "\n");
}

}  // namespace rehearse
