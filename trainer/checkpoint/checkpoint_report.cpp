#include "trainer/checkpoint/checkpoint_report.h"

#include <algorithm>
#include <cstdio>

#include "trainer/base/error.h"
#include "trainer/base/text/json_fields.h"
#include "trainer/base/text/table.h"

namespace rehearse {
namespace {

using nlohmann::json;

std::string folder_of_step(int64_t step) {
  char name[32];
  std::snprintf(name, sizeof name, "step-%08lld", static_cast<long long>(step));
  return name;
}

// "blocks.3.depthwise.weight" belongs to "blocks.3", "head.bias" to "head".
std::string block_of(const std::string& tensor) {
  const size_t first = tensor.find('.');
  if (first == std::string::npos || !tensor.starts_with("blocks.")) return tensor.substr(0, first);
  return tensor.substr(0, tensor.find('.', first + 1));
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text;
  for (int64_t extent : shape) text += (text.empty() ? "" : " x ") + std::to_string(extent);
  return "[" + text + "]";
}

struct BlockTotal {
  std::string name;
  size_t tensors = 0;
  size_t values = 0;
  std::string largest;
  size_t largest_values = 0;
};

// In the order blocks.0, blocks.1, …, blocks.10, head.
std::vector<BlockTotal> totals_of(const LoadedCheckpoint& checkpoint) {
  std::vector<BlockTotal> totals;
  for (const auto& [name, tensor] : checkpoint.model) {
    const std::string block = block_of(name);
    auto found = std::find_if(totals.begin(), totals.end(), [&](const auto& total) { return total.name == block; });
    if (found == totals.end()) found = totals.insert(totals.end(), BlockTotal{.name = block});
    ++found->tensors;
    found->values += tensor.values.size();
    if (!found->largest.empty() && tensor.values.size() <= found->largest_values) continue;
    found->largest_values = tensor.values.size();
    found->largest = name.substr(std::min(name.size(), block.size() + 1)) + " " + shape_text(tensor.shape);
  }
  std::stable_sort(totals.begin(), totals.end(), [](const auto& a, const auto& b) {
    return a.name.size() != b.name.size() && a.name.starts_with("blocks.") && b.name.starts_with("blocks.")
               ? a.name.size() < b.name.size()
               : a.name < b.name;
  });
  return totals;
}

std::string value_text(const json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

void add_fields(std::string& text, const std::string& title, const json& object) {
  if (!object.is_object() || object.empty()) return;
  text += "\n" + title + "\n";
  size_t width = 0;
  for (const auto& [key, value] : object.items()) width = std::max(width, key.size());
  for (const auto& [key, value] : object.items())
    text += "  " + key + std::string(width - key.size() + 2, ' ') + value_text(value) + "\n";
}

}  // namespace

fs::path choose_checkpoint(const fs::path& path, int64_t step) {
  if (step < 0) return path;
  const fs::path folder = fs::is_directory(path / "checkpoints") ? path / "checkpoints" : path;
  if (const fs::path chosen = folder / folder_of_step(step); fs::is_directory(chosen)) return chosen;
  std::string there;
  auto all = list_checkpoints(folder);
  std::ranges::copy(list_set_aside(folder), std::back_inserter(all));
  for (const fs::path& one : all) there += (there.empty() ? "" : ", ") + one.filename().string();
  throw DataError(path.string(), ": expected a checkpoint of step ", step, "; found ",
                  there.empty() ? "no checkpoint" : there, "; leave --step out for the best or newest");
}

std::string describe_choice(const fs::path& path, const LoadedCheckpoint& chosen) {
  const fs::path folder = checkpoints_folder(path);
  std::string how;
  if (!fs::exists(path / "MANIFEST.json")) {
    const bool has_best = fs::exists(fs::symlink_status(folder / "best"));
    how = concat(has_best ? "the best of " : "the newest of ", path.string());
  }
  const auto add = [&how](const std::string& words) { how += (how.empty() ? "" : "; ") + words; };
  if (!chosen.ema.empty()) add("averaged weights");
  const JsonFields facts = JsonFields(chosen.state.values, chosen.path.string()).child("facts");
  if (const size_t count = facts.list("averaged_from").size(); count > 0) add(concat("the average of ", count));
  return chosen.path.string() + (how.empty() ? "" : " (" + how + ")");
}

std::string describe_verified(const fs::path& checkpoint) {
  const LoadedCheckpoint whole = load_checkpoint(checkpoint, true);
  const std::string where = (whole.path / "MANIFEST.json").string();
  const json manifest = parse_json(read_text(whole.path / "MANIFEST.json"), where);
  TextTable table({{"file", TextTable::kLeft}, {"bytes"}, {"SHA-256", TextTable::kLeft}});
  uint64_t total = 0;
  for (const auto& [name, entry] : manifest.at("files").items()) {
    total += entry.at("bytes").get<uint64_t>();
    table.add_row({name, std::to_string(entry.at("bytes").get<uint64_t>()), entry.at("sha256")});
  }
  return concat(whole.path.string(), ": whole; step ", whole.step, ", ", manifest.at("files").size(), " files, ", total,
                " bytes, all sizes and checksums as listed\n", table.text());
}

std::string describe_contents(const LoadedCheckpoint& checkpoint) {
  const json& values = checkpoint.state.values;
  const json machines = JsonFields(values, checkpoint.path.string()).child("facts").list("machines");
  std::string text = concat(checkpoint.path.string(), "\nstep ", checkpoint.step, "\n");
  add_fields(text, "progress", values.value("progress", json::object()));
  json facts = values.value("facts", json::object());
  const json front_end = facts.value("front_end", json::object());
  const json versions = facts.value("versions", json::object());
  facts.erase("front_end");
  facts.erase("versions");
  facts.erase("machines");
  add_fields(text, "facts", facts);
  add_fields(text, "front-end", front_end);
  add_fields(text, "written with", versions);
  for (size_t rank = 0; rank < machines.size(); ++rank)
    if (rank == 0 || machines[rank] != machines[0]) add_fields(text, concat("machine of rank ", rank), machines[rank]);

  TextTable table({{"block", TextTable::kLeft}, {"tensors"}, {"values"}, {"largest", TextTable::kLeft}});
  size_t tensors = 0, sum = 0;
  for (const BlockTotal& total : totals_of(checkpoint)) {
    table.add_row({total.name, std::to_string(total.tensors), std::to_string(total.values), total.largest});
    tensors += total.tensors;
    sum += total.values;
  }
  table.add_rule();
  table.add_row({"all", std::to_string(tensors), std::to_string(sum), "parameters and buffers"});
  return text + "\n" + table.text();
}

}  // namespace rehearse
