#include "trainer/engine/quarantine_list.h"

#include <algorithm>
#include <tuple>
#include <unordered_map>

#include "data/sampler/quarantine.h"
#include "trainer/base/config.h"
#include "trainer/base/error.h"
#include "trainer/engine/progress.h"
#include "trainer/engine/table.h"

namespace rehearse {
namespace {

constexpr double kFullCer = CerTable::kMaxCer;

std::vector<std::string> manifests_of(const LoadedCheckpoint& checkpoint) {
  const auto text = checkpoint.files.find("config.yaml");
  if (text == checkpoint.files.end()) throw DataError(checkpoint.path.string(), ": expected config.yaml; found none");
  Config config = Config::parse(text->second, (checkpoint.path / "config.yaml").string());
  return config.root().child("data").texts("train", {});
}

std::unordered_map<uint64_t, Quarantine::Record> records_of(const LoadedCheckpoint& checkpoint) {
  if (!checkpoint.state.arrays.contains("sampler.quarantine.utterance"))
    throw ConfigError(checkpoint.path.string(),
                      ": expected a run with curriculum.type: curriculum; found another sampler, which measures no"
                      " utterance and sets none aside");
  Quarantine quarantine({}, {});
  quarantine.load(checkpoint.state, "sampler.quarantine");
  const auto ids = checkpoint.state.array<uint64_t>("sampler.ids");
  std::unordered_map<uint64_t, Quarantine::Record> records;
  for (const auto& [index, record] : quarantine.records()) {
    if (index >= ids.size())
      throw DataError(checkpoint.path.string(), ": sampler.quarantine: expected utterances below ", ids.size(),
                      "; found ", index, "; the checkpoint is damaged");
    records[ids[index]] = record;
  }
  return records;
}

}  // namespace

QuarantineList quarantine_of(const LoadedCheckpoint& checkpoint) {
  const auto records = records_of(checkpoint);
  QuarantineList list;
  if (records.empty()) return list;
  for (const std::string& manifest : manifests_of(checkpoint))
    scan_manifest(manifest, [&](Utterance&& utterance, const std::string&) {
      const auto found = records.find(utterance.id);
      if (found == records.end()) return;
      const Quarantine::Record& record = found->second;
      list.utterances.push_back({std::move(utterance), record.is_bad_file, record.cer_before / kFullCer,
                                 record.cer / kFullCer, record.cut, record.step});
    });
  list.unknown = records.size() - list.utterances.size();
  std::ranges::stable_sort(list.utterances, [](const SetAside& a, const SetAside& b) {
    return std::tuple(a.is_bad_file, a.cer, a.cer_before) > std::tuple(b.is_bad_file, b.cer, b.cer_before);
  });
  return list;
}

std::string quarantine_table(const QuarantineList& list, size_t most, size_t width) {
  constexpr size_t kLeastText = 20;
  TextTable table({{"CER"},
                   {"before"},
                   {"cut"},
                   {"step"},
                   {"domain", TextTable::kLeft},
                   {"file", TextTable::kLeft},
                   {"text", TextTable::kLeft}});
  const size_t shown = std::min(most, list.utterances.size());
  size_t taken = 0;  // by the longest domain and file
  for (size_t i = 0; i < shown; ++i) {
    const Utterance& one = list.utterances[i].utterance;
    taken = std::max(taken, display_width(one.domain) + display_width(one.audio_path));
  }
  constexpr size_t kFigures = 32;  // four columns of figures, and all spaces between columns
  const size_t text_width = std::max(kLeastText, width > taken + kFigures ? width - taken - kFigures : 0);
  for (size_t i = 0; i < shown; ++i) {
    const SetAside& one = list.utterances[i];
    const auto figure = [&](double share) { return one.is_bad_file ? std::string("-") : format_percent(share); };
    table.add_row({one.is_bad_file ? "unreadable" : format_percent(one.cer), figure(one.cer_before), figure(one.cut),
                   std::to_string(one.step), one.utterance.domain, one.utterance.audio_path,
                   fit_width(one.utterance.text, text_width)});
  }
  return table.text();
}

}  // namespace rehearse
