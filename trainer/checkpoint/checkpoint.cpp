#include "trainer/checkpoint/checkpoint.h"

#include <cstring>
#include <functional>
#include <set>

#include "trainer/base/error.h"
#include "trainer/base/finite.h"
#include "trainer/base/safetensors.h"
#include "trainer/base/text/json_fields.h"
#include "trainer/base/text/printable.h"
#include "trainer/checkpoint/state_file.h"

namespace rehearse {
namespace {

using nlohmann::json;

constexpr int kFormatVersion = 2;
constexpr int kOldestVersion = 1;          // whose list has no checksum of its own
constexpr uint64_t kSpareBytes = 1 << 20;  // for state.json, the list and the file system's own blocks

std::vector<std::byte> pack_tensors(const std::vector<TensorSpan>& tensors) {
  std::map<std::string, TensorView> views;
  for (const TensorSpan& one : tensors) views[one.name] = {"F32", one.shape, std::as_bytes(one.values)};
  return safetensors_of(views, {{"format", "rehearse"}});
}

std::vector<std::byte> bytes_of(const std::string& text) {
  const auto view = std::as_bytes(std::span(text));
  return {view.begin(), view.end()};
}

// By name, so that only one file's bytes are in memory at a time.
using Packers = std::map<std::string, std::function<std::vector<std::byte>()>>;

Packers packers_of(const CheckpointContents& contents) {
  Packers packers;
  for (const auto& [name, text] : contents.files) packers[name] = [&text = text] { return bytes_of(text); };
  packers["model.safetensors"] = [&contents] { return pack_tensors(contents.model); };
  if (!contents.optimizer.empty())
    packers["optimizer.safetensors"] = [&contents] { return pack_tensors(contents.optimizer); };
  if (!contents.ema.empty()) packers["ema.safetensors"] = [&contents] { return pack_tensors(contents.ema); };
  packers["curriculum.h5"] = [&contents] { return to_hdf5(contents.state.arrays); };
  packers["state.json"] = [&contents] {
    json state = contents.state.values;
    state["step"] = contents.step;
    return bytes_of(state.dump(1));
  };
  return packers;
}

// The list of files with a checksum of its own text, so that no changed byte of it goes unnoticed.
std::string manifest_text(const json& list) {
  json manifest = {{"format", "rehearse-checkpoint"}, {"version", kFormatVersion}, {"files", list}};
  manifest["sha256"] = sha256_of(bytes_of(manifest.dump(1)));
  return manifest.dump(1);
}

void write_files(const CheckpointContents& contents, const fs::path& folder, FileLayer& files) {
  fs::create_directories(folder);
  json list = json::object();
  for (const auto& [name, pack] : packers_of(contents)) {
    const std::vector<std::byte> bytes = pack();
    files.write(folder / name, bytes);
    list[name] = {{"bytes", bytes.size()}, {"sha256", sha256_of(bytes)}};
  }
  write_text(files, folder / "MANIFEST.json", manifest_text(list));
  files.sync_folder(folder);
}

// Of a write that failed something may lie there, and on a file server something may stay.
fs::path temporary_for(const fs::path& target) {
  std::error_code failure;
  fs::remove_all(target.parent_path() / concat(".", target.filename().string(), ".tmp"), failure);
  return free_name_beside(target, ".", ".tmp");
}

// What std::filesystem throws is a failure of the disk.
template <class Act>
auto on_disk(const fs::path& where, const Act& act) {
  try {
    return act();
  } catch (const fs::filesystem_error& failure) {
    throw CommError(where.string(), ": expected to write there; found ", failure.code().message(), " (",
                    failure.path1().string(), ")");
  }
}

// `begin`: the place of the first value in its tensor.
void expect_finite(std::span<const float> values, uint64_t begin, const std::string& file, const std::string& key) {
  if (const auto bad = first_not_finite(values))
    throw DataError(file, ": ", key, ": expected finite values; found ", not_finite_text(values[*bad]), " (element ",
                    begin + *bad, "): the run that wrote it had diverged; use an earlier checkpoint");
}

std::map<std::string, LoadedCheckpoint::Tensor> unpack_tensors(std::vector<std::byte> bytes, const std::string& name) {
  std::map<std::string, LoadedCheckpoint::Tensor> tensors;
  const Safetensors file = Safetensors::parse(std::move(bytes), name);
  for (const auto& [key, view] : file.tensors()) {
    if (view.dtype != "F32") throw DataError(name, ": ", key, ": expected F32; found ", view.dtype);
    LoadedCheckpoint::Tensor tensor{view.shape, std::vector<float>(view.bytes.size() / sizeof(float))};
    if (!tensor.values.empty()) std::memcpy(tensor.values.data(), view.bytes.data(), view.bytes.size());
    expect_finite(tensor.values, 0, name, key);
    tensors[key] = std::move(tensor);
  }
  return tensors;
}

// A listed file: a plain name in the checkpoint's folder.
struct Listed {
  uint64_t bytes = 0;
  std::string sha256;
};

std::map<std::string, Listed> read_manifest_of(const fs::path& checkpoint) {
  const std::string where = (checkpoint / "MANIFEST.json").string();
  const std::string text = read_text(where);
  const json manifest = parse_json(text, where);
  const JsonFields fields(manifest, where);
  const std::string format = fields.text("format");
  const uint64_t version = fields.count("version");
  if (format != "rehearse-checkpoint" || (version != kFormatVersion && version != kOldestVersion))
    throw DataError(where, ": expected rehearse-checkpoint version ", kOldestVersion, " or ", kFormatVersion,
                    "; found ", rehearse::quoted(format), " version ", version,
                    "; read it with the rehearse that wrote it");
  if (version != kOldestVersion && text != manifest_text(fields.child("files").object()))
    throw DataError(where, ": expected a list that fits its own SHA-256; found another; use another checkpoint");
  std::map<std::string, Listed> list;
  for (const auto& [name, entry] : fields.child("files").object().items()) {
    if (name.empty() || name.find('/') != std::string::npos || name == "..")
      throw DataError(where, ": files: expected names of files beside it; found ", rehearse::quoted(name));
    const JsonFields one(entry, concat(where, ": files: ", printable(name)));
    list[name] = {one.required_count("bytes"), one.required_text("sha256")};
  }
  return list;
}

void expect_size(const fs::path& path, const Listed& listed) {
  std::error_code absent;  // is said by the reader
  if (const uint64_t size = fs::file_size(path, absent); !absent && size != listed.bytes)
    throw DataError(path.string(), ": expected ", listed.bytes, " bytes; found ", size, "; use another checkpoint");
}

void expect_sha256(const fs::path& path, const Listed& listed, const std::string& sha256) {
  if (sha256 != listed.sha256)
    throw DataError(path.string(), ": expected the SHA-256 of MANIFEST.json; found another; use another checkpoint");
}

// The bytes of one listed file, checked against size and, where asked for, checksum.
std::vector<std::byte> read_listed(const fs::path& checkpoint, const std::string& name, const Listed& listed,
                                   Check check) {
  const fs::path path = checkpoint / name;
  expect_size(path, listed);
  std::vector<std::byte> bytes = read_bytes(path);
  if (check == Check::kChecksums) expect_sha256(path, listed, sha256_of(bytes));
  return bytes;
}

// The same file, checked and left on the disk.
std::shared_ptr<const SafetensorsFile> open_listed(const fs::path& path, const Listed& listed, Check check) {
  expect_size(path, listed);
  if (check == Check::kChecksums) expect_sha256(path, listed, sha256_of_file(path));
  return std::make_shared<SafetensorsFile>(path);
}

}  // namespace

void expect_room(const CheckpointContents& contents, const fs::path& folder) {
  uint64_t needed = kSpareBytes;
  for (const auto* tensors : {&contents.model, &contents.optimizer, &contents.ema})
    for (const TensorSpan& tensor : *tensors) needed += tensor.values.size_bytes();
  for (const auto& [name, array] : contents.state.arrays) needed += array.bytes.size();
  for (const auto& [name, text] : contents.files) needed += text.size();
  if (const uint64_t room = free_bytes_at(folder); room < needed)
    throw CommError(folder.string(), ": expected room for ", needed, " bytes of a checkpoint; found ", room,
                    "; free some space, older checkpoints are kept");
}

namespace {

// What stays of the one before, where it cannot be removed at once, goes with the next rotation.
void replace(const fs::path& temporary, const fs::path& target, FileLayer& files) {
  fs::path replaced;
  if (fs::exists(target) && files.exchange(temporary, target)) {  // a run resumed from an older one comes by again
    replaced = temporary;
  } else if (fs::exists(target)) {
    replaced = free_name_beside(target, ".", ".old");
    files.rename(target, replaced);
    files.rename(temporary, target);
  } else {
    files.rename(temporary, target);
  }
  std::error_code failure;
  if (!replaced.empty()) fs::remove_all(replaced, failure);
}

}  // namespace

fs::path write_checkpoint(const CheckpointContents& contents, const fs::path& target, FileLayer& files) {
  return on_disk(target, [&] {
    const fs::path folder = target.parent_path(), temporary = temporary_for(target);
    if (!folder.empty()) fs::create_directories(folder);
    expect_room(contents, folder.empty() ? "." : folder);
    write_files(contents, temporary, files);
    replace(temporary, target, files);
    files.sync_folder(folder.empty() ? "." : folder);
    return target;
  });
}

fs::path save_checkpoint(const CheckpointContents& contents, const fs::path& folder, FileLayer& files) {
  return write_checkpoint(contents, checkpoint_path(folder, contents.step), files);
}

namespace {

LoadedCheckpoint load_without(const std::set<std::string>& left_out, const fs::path& path, Check check,
                              bool leaves_optimizer = false) {
  LoadedCheckpoint loaded;
  loaded.path = find_checkpoint(path, Which::kBest);
  for (const auto& [name, listed] : read_manifest_of(loaded.path)) {
    if (left_out.contains(name)) continue;
    if (leaves_optimizer && name == "optimizer.safetensors") {
      loaded.optimizer_file = open_listed(loaded.path / name, listed, check);
      continue;
    }
    std::vector<std::byte> bytes = read_listed(loaded.path, name, listed, check);
    const std::string where = (loaded.path / name).string();
    if (name == "model.safetensors")
      loaded.model = unpack_tensors(std::move(bytes), where);
    else if (name == "ema.safetensors")
      loaded.ema = unpack_tensors(std::move(bytes), where);
    else if (name == "optimizer.safetensors")
      loaded.optimizer = unpack_tensors(std::move(bytes), where);
    else if (name == "curriculum.h5")
      loaded.state.arrays = from_hdf5(bytes, where);
    else
      loaded.files[name].assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  const std::string where = (loaded.path / "state.json").string();
  if (!loaded.files.contains("state.json")) throw DataError(where, ": expected it in MANIFEST.json; found none");
  loaded.state.values = parse_json(loaded.files.at("state.json"), where);
  loaded.step = JsonFields(loaded.state.values, where).required_count("step");
  if (loaded.model.empty()) throw DataError(loaded.path.string(), ": expected model.safetensors; found none");
  return loaded;
}

}  // namespace

LoadedCheckpoint load_checkpoint(const fs::path& path, bool with_state, Check check) {
  if (with_state) return load_without({}, path, check);
  return load_without({"optimizer.safetensors", "curriculum.h5"}, path, check);
}

LoadedCheckpoint load_for_use(const fs::path& path, Check check) {
  return load_without({"optimizer.safetensors"}, path, check);
}

LoadedCheckpoint load_to_go_on(const fs::path& path, Check check) {
  return load_without({}, path, check, true);
}

void read_optimizer(const LoadedCheckpoint& checkpoint, const std::string& name, uint64_t count, uint64_t begin,
                    std::span<float> into) {
  const std::string where = (checkpoint.path / "optimizer.safetensors").string();
  const auto held = checkpoint.optimizer.find(name);
  const SafetensorsFile* file = checkpoint.optimizer_file.get();
  const uint64_t found = file                                 ? file->num_values(name)
                         : held == checkpoint.optimizer.end() ? 0
                                                              : held->second.values.size();
  if (found != count)
    throw DataError(where, ": expected ", count, " values of \"", name, "\"; found ", found,
                    "; start a new run with --init to use the weights alone");
  if (file)
    file->read(name, begin, into);
  else
    std::copy_n(held->second.values.begin() + static_cast<ptrdiff_t>(begin), into.size(), into.begin());
  expect_finite(into, begin, where, name);
}

void expect_resumable(const LoadedCheckpoint& checkpoint) {
  const std::string where = (checkpoint.path / "state.json").string();
  const JsonFields facts = JsonFields(checkpoint.state.values, where).child("facts");
  const size_t count = facts.list("averaged_from").size();
  if (count == 0) return;
  throw ConfigError(where, ": expected a checkpoint that training wrote; found the average of ", count,
                    " checkpoints, which has no optimizer state; start a new run from it with --init");
}

std::optional<LoadedCheckpoint> load_newest(const fs::path& folder, std::vector<std::string>& refused) {
  for (const fs::path& path : list_checkpoints(folder)) {
    try {
      return load_checkpoint(path, true);
    } catch (const DataError& failure) {
      refused.push_back(failure.what());
    }
  }
  return std::nullopt;
}

void verify_checkpoint(const fs::path& checkpoint) {
  load_checkpoint(checkpoint, true);
}

}  // namespace rehearse
