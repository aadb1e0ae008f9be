#include "trainer/engine/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <functional>

#include "trainer/base/error.h"
#include "trainer/base/safetensors.h"
#include "trainer/engine/state_file.h"

namespace rehearse {
namespace {

using nlohmann::json;

constexpr const char* kPrefix = "step-";
constexpr int kFormatVersion = 2;
constexpr int kOldestVersion = 1;          // whose list has no checksum of its own
constexpr uint64_t kSpareBytes = 1 << 20;  // for state.json, the list and the file system's own blocks

std::string folder_name(uint64_t step) {
  char name[32];
  std::snprintf(name, sizeof name, "step-%08llu", static_cast<unsigned long long>(step));
  return name;
}

// The step of "step-00001200"; nothing for other names.
std::optional<uint64_t> step_of(const fs::path& path) {
  const std::string name = path.filename().string();
  if (!name.starts_with(kPrefix)) return std::nullopt;
  uint64_t step = 0;
  const char* end = name.data() + name.size();
  const auto result = std::from_chars(name.data() + 5, end, step);
  if (result.ec != std::errc() || result.ptr != end) return std::nullopt;
  return step;
}

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
  fs::remove_all(folder);
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

fs::path beside(const fs::path& target, const char* ending) {
  return target.parent_path() / ("." + target.filename().string() + ending);
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

std::map<std::string, LoadedCheckpoint::Tensor> unpack_tensors(std::vector<std::byte> bytes, const std::string& name) {
  std::map<std::string, LoadedCheckpoint::Tensor> tensors;
  const Safetensors file = Safetensors::parse(std::move(bytes), name);
  for (const auto& [key, view] : file.tensors()) {
    if (view.dtype != "F32") throw DataError(name, ": ", key, ": expected F32; found ", view.dtype);
    LoadedCheckpoint::Tensor tensor{view.shape, std::vector<float>(view.bytes.size() / sizeof(float))};
    if (!tensor.values.empty()) std::memcpy(tensor.values.data(), view.bytes.data(), view.bytes.size());
    tensors[key] = std::move(tensor);
  }
  return tensors;
}

json read_manifest_of(const fs::path& checkpoint) {
  const fs::path path = checkpoint / "MANIFEST.json";
  try {
    const std::string text = read_text(path);
    const json manifest = json::parse(text);
    const json& version = manifest.at("version");
    if (manifest.at("format") != "rehearse-checkpoint" || (version != kFormatVersion && version != kOldestVersion))
      throw DataError(path.string(), ": expected rehearse-checkpoint version ", kOldestVersion, " or ", kFormatVersion,
                      "; found ", manifest.at("format"), " version ", version,
                      "; read it with the rehearse that wrote it");
    if (version != kOldestVersion && text != manifest_text(manifest.at("files")))
      throw DataError(path.string(), ": expected a list that fits its own SHA-256; found another; ",
                      "use another checkpoint");
    return manifest.at("files");
  } catch (const json::exception& failure) {
    throw DataError(path.string(), ": expected the list of files; found ", failure.what());
  }
}

// The bytes of one listed file, checked against size and checksum.
std::vector<std::byte> read_verified(const fs::path& checkpoint, const std::string& name, const json& entry) {
  const fs::path path = checkpoint / name;
  std::vector<std::byte> bytes = read_bytes(path);
  const uint64_t size = entry.at("bytes");
  if (bytes.size() != size)
    throw DataError(path.string(), ": expected ", size, " bytes; found ", bytes.size(), "; use another checkpoint");
  if (sha256_of(bytes) != entry.at("sha256").get<std::string>())
    throw DataError(path.string(), ": expected the SHA-256 of MANIFEST.json; found another; use another checkpoint");
  return bytes;
}

fs::path resolve(const fs::path& path) {
  if (fs::exists(path / "MANIFEST.json")) return path;
  const fs::path folder = fs::is_directory(path / "checkpoints") ? path / "checkpoints" : path;
  if (fs::exists(folder / "best" / "MANIFEST.json")) return fs::canonical(folder / "best");
  const auto all = list_checkpoints(folder);
  if (all.empty()) throw DataError(path.string(), ": expected a checkpoint or a run folder with one; found none");
  return all.front();
}

}  // namespace

fs::path checkpoint_path(const fs::path& folder, uint64_t step) {
  return folder / folder_name(step);
}

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

fs::path write_checkpoint(const CheckpointContents& contents, const fs::path& target, FileLayer& files) {
  return on_disk(target, [&] {
    const fs::path folder = target.parent_path(), temporary = beside(target, ".tmp");
    if (!folder.empty()) fs::create_directories(folder);
    expect_room(contents, folder.empty() ? "." : folder);
    write_files(contents, temporary, files);
    if (fs::exists(target) && files.exchange(temporary, target)) {  // a run resumed from an older one comes by again
      fs::remove_all(temporary);
    } else if (fs::exists(target)) {
      const fs::path replaced = beside(target, ".old");
      fs::remove_all(replaced);
      files.rename(target, replaced);
      files.rename(temporary, target);
      fs::remove_all(replaced);
    } else {
      files.rename(temporary, target);
    }
    files.sync_folder(folder.empty() ? "." : folder);
    return target;
  });
}

fs::path save_checkpoint(const CheckpointContents& contents, const fs::path& folder, FileLayer& files) {
  return write_checkpoint(contents, checkpoint_path(folder, contents.step), files);
}

void remove_leftovers(const fs::path& folder) {
  on_disk(folder, [&] {
    std::vector<fs::path> leftovers;
    for (const auto& entry : fs::directory_iterator(folder)) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with(concat(".", kPrefix)) && (name.ends_with(".tmp") || name.ends_with(".old")))
        leftovers.push_back(entry.path());
    }
    for (const fs::path& one : leftovers) fs::remove_all(one);
  });
}

LoadedCheckpoint load_checkpoint(const fs::path& path, bool with_state) {
  LoadedCheckpoint loaded;
  loaded.path = resolve(path);
  const json list = read_manifest_of(loaded.path);
  try {
    for (const auto& [name, entry] : list.items()) {
      const bool is_state = name == "optimizer.safetensors" || name == "curriculum.h5";
      if (is_state && !with_state) continue;
      std::vector<std::byte> bytes = read_verified(loaded.path, name, entry);
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
    loaded.state.values = json::parse(loaded.files.at("state.json"));
    loaded.step = loaded.state.values.at("step");
  } catch (const json::exception& failure) {
    throw DataError(loaded.path.string(), ": expected a whole checkpoint; found ", failure.what());
  } catch (const std::out_of_range&) {
    throw DataError(loaded.path.string(), ": expected state.json in MANIFEST.json; found none");
  }
  if (loaded.model.empty()) throw DataError(loaded.path.string(), ": expected model.safetensors; found none");
  return loaded;
}

std::vector<fs::path> list_checkpoints(const fs::path& folder) {
  std::vector<std::pair<uint64_t, fs::path>> found;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(folder, failure))
    if (entry.is_directory() && !entry.is_symlink())
      if (const auto step = step_of(entry.path())) found.emplace_back(*step, entry.path());
  std::sort(found.rbegin(), found.rend());
  std::vector<fs::path> paths;
  paths.reserve(found.size());
  for (auto& [step, path] : found) paths.push_back(std::move(path));
  return paths;
}

void expect_resumable(const LoadedCheckpoint& checkpoint) {
  const auto facts = checkpoint.state.values.find("facts");
  if (facts == checkpoint.state.values.end() || !facts->contains("averaged_from")) return;
  throw ConfigError((checkpoint.path / "state.json").string(),
                    ": expected a checkpoint that training wrote; found the average of ",
                    facts->at("averaged_from").size(),
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

void mark_best(const fs::path& checkpoint, FileLayer& files) {
  on_disk(checkpoint, [&] {
    const fs::path folder = checkpoint.parent_path();
    const fs::path temporary = folder / ".best.tmp";
    fs::remove(temporary);
    fs::create_directory_symlink(checkpoint.filename(), temporary);
    files.rename(temporary, folder / "best");
    files.sync_folder(folder);
  });
}

void rotate_checkpoints(const fs::path& folder, uint64_t newest, int64_t keep_last, int64_t keep_every_steps) {
  std::error_code failure;
  const fs::path best = fs::read_symlink(folder / "best", failure);
  auto all = list_checkpoints(folder);
  std::erase_if(all, [newest](const fs::path& path) { return *step_of(path) > newest; });
  for (size_t i = static_cast<size_t>(keep_last); i < all.size(); ++i) {
    const bool is_kept = keep_every_steps > 0 && *step_of(all[i]) % static_cast<uint64_t>(keep_every_steps) == 0;
    if (!is_kept && all[i].filename() != best) on_disk(all[i], [&] { return fs::remove_all(all[i]); });
  }
}

void verify_checkpoint(const fs::path& checkpoint) {
  load_checkpoint(checkpoint, true);
}

}  // namespace rehearse
