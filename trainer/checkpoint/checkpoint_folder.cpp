#include "trainer/checkpoint/checkpoint_folder.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

constexpr const char* kPrefix = "step-";
constexpr const char* kAside = "aside-";
constexpr const char* kBest = "best";

// Names in a folder; none where it cannot be read.
std::vector<fs::path> entries_of(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code failure;
  for (fs::directory_iterator at(folder, failure), end; !failure && at != end; at.increment(failure))
    found.push_back(at->path());
  std::sort(found.begin(), found.end());
  return found;
}

bool is_own_folder(const fs::path& path) {
  std::error_code failure;
  return fs::is_directory(fs::symlink_status(path, failure));
}

// The name that `best` stands for; empty: none.
fs::path best_of(const fs::path& folder) {
  std::error_code failure;
  const fs::path link = fs::read_symlink(folder / kBest, failure);
  if (!failure) return link.filename();
  if (!fs::is_regular_file(folder / kBest, failure)) return {};
  std::string name = read_text(folder / kBest);
  while (!name.empty() && name.back() == '\n') name.pop_back();
  return fs::path(name).filename();
}

bool is_checkpoint(const fs::path& path) {
  std::error_code failure;
  return fs::exists(path / "MANIFEST.json", failure);
}

// Removes it under another name, so that a removal that stops half-way leaves nothing that looks like a checkpoint.
// What file servers keep of an open file (.nfs…) makes it fail: returns why.
std::string remove_or_say(const fs::path& path, FileLayer& files) {
  try {
    fs::path doomed = path;
    if (step_of(path)) files.rename(path, doomed = free_name_beside(path, ".", ".old"));
    files.remove_tree(doomed);
    return "";
  } catch (const CommError& failure) {
    return concat(failure.what(), "; tried again at the next save");
  }
}

bool is_leftover(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.starts_with(concat(".", kPrefix)) && (name.ends_with(".tmp") || name.ends_with(".old"));
}

}  // namespace

fs::path checkpoint_path(const fs::path& folder, uint64_t step) {
  char name[32];
  std::snprintf(name, sizeof name, "%s%08llu", kPrefix, static_cast<unsigned long long>(step));
  return folder / name;
}

std::optional<uint64_t> step_of(const fs::path& checkpoint) {
  const std::string name = checkpoint.filename().string();
  if (!name.starts_with(kPrefix)) return std::nullopt;
  uint64_t step = 0;
  const char* end = name.data() + name.size();
  const auto result = std::from_chars(name.data() + std::string_view(kPrefix).size(), end, step);
  if (result.ec != std::errc() || result.ptr != end) return std::nullopt;
  return step;
}

fs::path free_name_beside(const fs::path& target, const std::string& prefix, const std::string& ending) {
  const std::string start = prefix + target.filename().string();
  std::error_code failure;
  fs::path name = target.parent_path() / (start + ending);
  for (int i = 2; fs::exists(fs::symlink_status(name, failure)); ++i)
    name = target.parent_path() / concat(start, ".", i, ending);
  return name;
}

fs::path checkpoints_folder(const fs::path& run) {
  std::error_code failure;
  return fs::is_directory(run / "checkpoints", failure) ? run / "checkpoints" : run;
}

std::vector<fs::path> list_checkpoints(const fs::path& folder) {
  std::vector<std::pair<uint64_t, fs::path>> found;
  for (const fs::path& path : entries_of(folder))
    if (const auto step = step_of(path); step && is_own_folder(path)) found.emplace_back(*step, path);
  std::sort(found.rbegin(), found.rend());
  std::vector<fs::path> paths;
  paths.reserve(found.size());
  for (auto& [step, path] : found) paths.push_back(std::move(path));
  return paths;
}

fs::path find_checkpoint(const fs::path& path, Which which) {
  if (is_checkpoint(path)) return path;
  const fs::path folder = checkpoints_folder(path);
  if (which == Which::kBest)
    if (const fs::path best = best_of(folder); !best.empty() && is_checkpoint(folder / best))
      return fs::canonical(folder / best);
  const auto all = list_checkpoints(folder);
  if (all.empty()) throw DataError(path.string(), ": expected a checkpoint or a run folder with one; found none");
  return all.front();
}

void mark_best(const fs::path& checkpoint, FileLayer& files) {
  const fs::path folder = checkpoint.parent_path();
  const fs::path temporary = folder / ".best.tmp";
  files.remove_tree(temporary);
  try {
    files.symlink(checkpoint.filename(), temporary);
  } catch (const CommError&) {  // not every file system has links
    write_text(files, temporary, checkpoint.filename().string() + "\n");
  }
  files.rename(temporary, folder / kBest);
  files.sync_folder(folder);
}

std::vector<fs::path> set_aside_after(const fs::path& folder, uint64_t step, FileLayer& files) {
  std::vector<fs::path> moved;
  for (const fs::path& path : list_checkpoints(folder)) {
    if (*step_of(path) <= step) continue;
    if (best_of(folder) == path.filename()) files.remove_tree(folder / kBest);
    moved.push_back(free_name_beside(path, kAside, ""));
    files.rename(path, moved.back());
  }
  if (!moved.empty()) files.sync_folder(folder);
  return moved;
}

std::vector<fs::path> list_set_aside(const fs::path& folder) {
  std::vector<fs::path> found;
  for (const fs::path& path : entries_of(folder))
    if (path.filename().string().starts_with(concat(kAside, kPrefix)) && is_own_folder(path)) found.push_back(path);
  return found;
}

std::vector<std::string> rotate_checkpoints(const fs::path& folder, uint64_t newest, const Rotation& rotation,
                                            FileLayer& files) {
  std::vector<std::string> refused = remove_leftovers(folder, files);
  const fs::path best = best_of(folder);
  auto all = list_checkpoints(folder);
  // Later steps than the one just saved stay: whoever left them there will say what they are good for.
  std::erase_if(all, [newest](const fs::path& path) { return *step_of(path) > newest; });
  for (size_t i = static_cast<size_t>(rotation.keep_last); i < all.size(); ++i) {
    const uint64_t step = *step_of(all[i]), every = static_cast<uint64_t>(rotation.keep_every_steps);
    const bool is_kept = (every > 0 && step % every == 0) || step == rotation.kept_step;
    if (is_kept || all[i].filename() == best) continue;
    if (const std::string reason = remove_or_say(all[i], files); !reason.empty()) refused.push_back(reason);
  }
  return refused;
}

std::vector<std::string> remove_leftovers(const fs::path& folder, FileLayer& files) {
  std::vector<std::string> refused;
  for (const fs::path& path : entries_of(folder))
    if (is_leftover(path))
      if (const std::string reason = remove_or_say(path, files); !reason.empty()) refused.push_back(reason);
  return refused;
}

}  // namespace rehearse
