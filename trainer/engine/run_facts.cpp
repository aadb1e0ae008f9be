#include "trainer/engine/run_facts.h"

#include <link.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>

#include "trainer/base/text/json_fields.h"
#include "trainer/checkpoint/checkpoint_diff.h"

namespace rehearse {
namespace {

using nlohmann::json;

constexpr const char* kNotStored = "not stored";

// Libraries whose code decides numbers: arithmetic, sums over ranks, decoders, resampling, text.
bool decides_numbers(const std::string& file) {
  static const char* kStarts[] = {
      "libtorch",   "libc10",    "libmkl",    "libgomp",    "libomp",   "libm.so",     "libc.so",         "libmpi.so",
      "libsndfile", "libFLAC",   "libvorbis", "libopus",    "libmpg",   "libsoxr",     "libutf8",         "libnccl",
      "libcudnn",   "libcublas", "libcudart", "libcuda.so", "libcufft", "libcusparse", "libsentencepiece"};
  return std::ranges::any_of(kStarts, [&](const char* start) { return file.starts_with(start); });
}

// Notes are cut at four bytes.
size_t padded(size_t bytes) {
  return (bytes + 3) / 4 * 4;
}

// The linker's build id among an object's notes; empty: it has none.
std::string build_of(const dl_phdr_info& object) {
  constexpr size_t kShown = 8;
  for (int i = 0; i < object.dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = object.dlpi_phdr[i];
    if (segment.p_type != PT_NOTE) continue;
    const auto* at = reinterpret_cast<const char*>(object.dlpi_addr + segment.p_vaddr);
    const char* const end = at + segment.p_memsz;
    while (at + sizeof(ElfW(Nhdr)) <= end) {
      ElfW(Nhdr) note;
      std::memcpy(&note, at, sizeof note);
      const char* name = at + sizeof note;
      const auto* id = reinterpret_cast<const unsigned char*>(name + padded(note.n_namesz));
      if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && std::memcmp(name, "GNU", 4) == 0) {
        std::ostringstream text;
        for (size_t k = 0; k < std::min<size_t>(note.n_descsz, kShown); ++k)
          text << std::hex << (id[k] >> 4) << (id[k] & 15);
        return text.str();
      }
      at = reinterpret_cast<const char*>(id) + padded(note.n_descsz);
    }
  }
  return "";
}

int add_library(dl_phdr_info* object, size_t, void* list) {
  const fs::path path = object->dlpi_name;
  if (!decides_numbers(path.filename().string())) return 0;
  std::error_code failure;
  const fs::path real = fs::canonical(path, failure);
  std::string build = build_of(*object);
  if (build.empty()) build = concat(fs::file_size(path, failure), " bytes");
  (*static_cast<json*>(list))[path.filename().string()] = concat(real.filename().string(), ", build ", build);
  return 0;
}

// The value of the first line "key : value" of /proc/cpuinfo.
std::string cpu_line(const std::vector<std::string>& keys) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string key = line.substr(0, line.find_last_not_of(" \t", colon - 1) + 1);
    if (std::ranges::find(keys, key) != keys.end()) return line.substr(std::min(line.size(), colon + 2));
  }
  return "";
}

// Those that code is chosen by at run time.
std::string instructions() {
  std::istringstream words(cpu_line({"flags", "Features"}));
  std::set<std::string> found;
  for (std::string word; words >> word;)
    for (const char* start : {"avx", "fma", "f16c", "amx", "sse4", "asimd", "sve", "bf16", "fphp"})
      if (word.starts_with(start)) found.insert(word);
  std::string text;
  for (const std::string& word : found) text += (text.empty() ? "" : " ") + word;
  return text;
}

std::string shown(const json* value) {
  if (!value || value->is_null()) return kNotStored;
  return value->is_string() ? value->get<std::string>() : value->dump();
}

void compare(const std::string& name, const json* before, const json* now, std::vector<FactDifference>& found) {
  if (before && now && before->is_object() && now->is_object()) {
    std::set<std::string> keys;
    for (const json* side : {before, now})
      for (const auto& item : side->items()) keys.insert(item.key());
    const auto of = [](const json& object, const std::string& key) {
      return object.contains(key) ? &object.at(key) : nullptr;
    };
    for (const std::string& key : keys)
      compare(name.empty() ? key : concat(name, ": ", key), of(*before, key), of(*now, key), found);
    return;
  }
  if (shown(before) != shown(now)) found.push_back({name, shown(before), shown(now)});
}

}  // namespace

json machine_facts(const json& more) {
  json facts = {{"cpu", cpu_line({"model name", "CPU part", "cpu"})}, {"instructions", instructions()}};
  json libraries = json::object();
  dl_iterate_phdr(add_library, &libraries);
  facts["libraries"] = libraries;
  facts.update(more);
  return facts;
}

std::vector<FactDifference> fact_differences(const JsonFields& saved, const json& now) {
  std::vector<FactDifference> found;
  for (const char* key : {"threads", "ranks", "device", "versions"})
    compare(key, saved.object().contains(key) ? &saved.object().at(key) : nullptr, &now.at(key), found);
  const json& before = saved.list("machines");
  const json& machines = now.at("machines");
  if (before.empty()) {
    found.push_back(
        {"machines", kNotStored, shown(&machines.at(0).at("cpu")), "whether the result is bit-exact is not known"});
    return found;
  }
  std::set<std::string> said;  // ranks of one kind differ in one way
  for (size_t rank = 0; rank < machines.size(); ++rank) {
    std::vector<FactDifference> own;
    compare("", &before.at(std::min(rank, before.size() - 1)), &machines.at(rank), own);
    for (FactDifference& one : own) {
      if (!said.insert(concat(one.name, one.before, one.now)).second) continue;
      if (one.name.empty()) one.name = "machine";  // of another type
      if (rank > 0) one.name = concat("rank ", rank, ": ", one.name);
      found.push_back(std::move(one));
    }
  }
  return found;
}

std::vector<FactDifference> setting_differences(const std::string& yaml_before, const std::string& yaml_now,
                                                bool has_device_sums) {
  std::vector<FactDifference> found;
  for (const KeyDifference& one : config_differences(yaml_before, yaml_now)) {
    if (one.key.starts_with("budget."))
      found.push_back(
          {one.key, one.a, one.b,
           "learning rate and planned draws follow the budget, so the run is not the one it would have been"});
    const bool is_bucket = one.key.starts_with("comm.") && one.key.ends_with("bucket_kb");
    if (has_device_sums && is_bucket) found.push_back({one.key, one.a, one.b});
  }
  return found;
}

}  // namespace rehearse
