#include "trainer/engine/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>

#include "trainer/base/error.h"
#include "trainer/base/safetensors.h"
#include "trainer/engine/state_file.h"

namespace rehearse {
namespace {

using nlohmann::json;

constexpr const char* kPrefix = "step-";
constexpr int kFormatVersion = 1;

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

std::map<std::string, std::vector<std::byte>> pack_files(const CheckpointContents& contents) {
  std::map<std::string, std::vector<std::byte>> files;
  for (const auto& [name, text] : contents.files) files[name] = bytes_of(text);
  files["model.safetensors"] = pack_tensors(contents.model);
  files["optimizer.safetensors"] = pack_tensors(contents.optimizer);
  files["curriculum.h5"] = to_hdf5(contents.state.arrays);
  json state = contents.state.values;
  state["step"] = contents.step;
  files["state.json"] = bytes_of(state.dump(1));
  return files;
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
    const json manifest = json::parse(read_text(path));
    if (manifest.at("format") != "rehearse-checkpoint" || manifest.at("version") != kFormatVersion)
      throw DataError(path.string(), ": expected rehearse-checkpoint version ", kFormatVersion, "; found ",
                      manifest.at("format"), " version ", manifest.at("version"));
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

fs::path save_checkpoint(const CheckpointContents& contents, const fs::path& folder, FileLayer& files) {
  fs::create_directories(folder);
  const auto packed = pack_files(contents);
  uint64_t total = 0;
  for (const auto& [name, bytes] : packed) total += bytes.size();
  const uint64_t room = free_bytes_at(folder);
  if (room < total + (1 << 20))
    throw CommError(folder.string(), ": expected room for ", total, " bytes of a checkpoint; found ", room,
                    "; free some space, older checkpoints are kept");

  const fs::path target = checkpoint_path(folder, contents.step);
  const fs::path temporary = folder / ("." + folder_name(contents.step) + ".tmp");
  fs::remove_all(temporary);
  fs::create_directories(temporary);
  json list = json::object();
  for (const auto& [name, bytes] : packed) {
    files.write(temporary / name, bytes);
    list[name] = {{"bytes", bytes.size()}, {"sha256", sha256_of(bytes)}};
  }
  const json manifest = {{"format", "rehearse-checkpoint"}, {"version", kFormatVersion}, {"files", list}};
  write_text(files, temporary / "MANIFEST.json", manifest.dump(1));
  files.sync_folder(temporary);
  if (fs::exists(target)) {  // a run resumed from an older checkpoint comes by again
    const fs::path replaced = folder / ("." + folder_name(contents.step) + ".old");
    fs::remove_all(replaced);
    files.rename(target, replaced);
    files.rename(temporary, target);
    fs::remove_all(replaced);
  } else {
    files.rename(temporary, target);
  }
  files.sync_folder(folder);
  return target;
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
  for (auto& [step, path] : found) paths.push_back(std::move(path));
  return paths;
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
  const fs::path folder = checkpoint.parent_path();
  const fs::path temporary = folder / ".best.tmp";
  fs::remove(temporary);
  fs::create_directory_symlink(checkpoint.filename(), temporary);
  files.rename(temporary, folder / "best");
  files.sync_folder(folder);
}

void rotate_checkpoints(const fs::path& folder, uint64_t newest, int64_t keep_last, int64_t keep_every_steps) {
  std::error_code failure;
  const fs::path best = fs::read_symlink(folder / "best", failure);
  auto all = list_checkpoints(folder);
  std::erase_if(all, [newest](const fs::path& path) { return *step_of(path) > newest; });
  for (size_t i = static_cast<size_t>(keep_last); i < all.size(); ++i) {
    const bool is_kept = keep_every_steps > 0 && *step_of(all[i]) % static_cast<uint64_t>(keep_every_steps) == 0;
    if (!is_kept && all[i].filename() != best) fs::remove_all(all[i]);
  }
}

void verify_checkpoint(const fs::path& checkpoint) {
  load_checkpoint(checkpoint, true);
}

}  // namespace rehearse
