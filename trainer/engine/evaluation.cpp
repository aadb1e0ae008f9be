#include "trainer/engine/evaluation.h"

#include <algorithm>
#include <cstdio>
#include <map>

#include "data/speech/manifest.h"
#include "trainer/base/config.h"
#include "trainer/base/error.h"
#include "trainer/base/printable.h"
#include "trainer/base/table.h"

namespace rehearse {
namespace {

using nlohmann::json;

enum Unit { kCharacters, kWords };

const EditCounts& counts_of(const ScoredUtterance& utterance, Unit unit) {
  return unit == kCharacters ? utterance.characters : utterance.words;
}

EditCounts sum_of(const std::vector<ScoredUtterance>& utterances, Unit unit) {
  EditCounts sum;
  for (const ScoredUtterance& one : utterances) sum += counts_of(one, unit);
  return sum;
}

Interval interval_of(const std::vector<ScoredUtterance>& utterances, Unit unit) {
  std::vector<EditCounts> counts;
  counts.reserve(utterances.size());
  for (const ScoredUtterance& one : utterances) counts.push_back(counts_of(one, unit));
  return bootstrap_rate(counts);
}

double hours_of(const ScoredSet& set) {
  double seconds = 0;
  for (const ScoredUtterance& one : set.utterances) seconds += one.duration_s;
  return seconds / 3600;
}

double macro_rate(const EvaluationResult& result, Unit unit) {
  std::map<std::string, EditCounts> domains;
  for (const ScoredSet& set : result.sets) domains[set.domain] += sum_of(set.utterances, unit);
  double sum = 0;
  for (const auto& [domain, counts] : domains) sum += counts.rate();
  return domains.empty() ? 0 : sum / static_cast<double>(domains.size());
}

std::string percent(double rate) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", 100 * rate);
  return text;
}

std::string rate_cell(const ScoredSet& set, Unit unit) {
  const Interval interval = interval_of(set.utterances, unit);
  return percent(sum_of(set.utterances, unit).rate()) + " [" + percent(interval.low) + ", " + percent(interval.high) +
         "]";
}

std::string hours_text(double hours) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f", hours);
  return text;
}

// All sampler states name their domains, under one of two keys.
void read_domain_names(const json& sampler, std::set<std::string>& names) {
  for (const char* key : {"domain_names", "domains"}) {
    const auto list = sampler.find(key);
    if (list == sampler.end() || !list->is_array()) continue;
    for (const json& name : *list)
      if (name.is_string()) names.insert(name.get<std::string>());
  }
}

void append_list(std::string& text, const std::string& title, const std::vector<std::string>& lines) {
  if (lines.empty()) return;
  text += concat("\n", title, " (", lines.size(), ")\n");
  for (const std::string& line : lines) text += "  " + printable(line) + "\n";
}

struct Refusals {
  size_t refused = 0;
  size_t all = 0;
  std::string text() const {
    return concat(refused, " of ", all, " utterances (",
                  percent(static_cast<double>(refused) / static_cast<double>(all)), " %)");
  }
};

std::map<std::pair<std::string, std::string>, Refusals> refusals_by_set(const EvaluationResult& result) {
  std::map<std::pair<std::string, std::string>, Refusals> sets;
  for (const ScoredSet& set : result.sets) {
    Refusals& counts = sets[{set.manifest, set.domain}];
    counts.all += set.utterances.size();
    counts.refused += static_cast<size_t>(
        std::ranges::count_if(set.utterances, [](const ScoredUtterance& one) { return !one.failure.empty(); }));
  }
  for (const LeftOut& line : result.left_out) {
    Refusals& counts = sets[{line.manifest, line.domain}];
    ++counts.all;
    ++counts.refused;
  }
  return sets;
}

// Empty when nothing was refused.
std::string refusals_text(const EvaluationResult& result) {
  Refusals sum;
  for (const auto& [set, counts] : refusals_by_set(result)) {
    sum.refused += counts.refused;
    sum.all += counts.all;
  }
  return sum.refused == 0 ? "" : concat(sum.text(), " were refused; the reasons are below\n");
}

}  // namespace

std::vector<std::string> excessive_refusals(const EvaluationResult& result, double max_rejected_share) {
  std::vector<std::string> lines;
  for (const auto& [set, counts] : refusals_by_set(result))
    if (static_cast<double>(counts.refused) > max_rejected_share * static_cast<double>(counts.all))
      lines.push_back(concat(
          set.first, ": domain ", quoted(set.second), ": expected at most ", percent(max_rejected_share),
          " % refused (data.max_rejected_share of the checkpoint); found ", counts.text(), "; mend or remove them"));
  return lines;
}

std::vector<std::string> training_manifests(const LoadedCheckpoint& checkpoint) {
  const auto text = checkpoint.files.find("config.yaml");
  if (text == checkpoint.files.end()) return {};
  Config config = Config::parse(text->second, (checkpoint.path / "config.yaml").string());
  return config.root().child("data").texts("train", {});
}

TrainingData TrainingData::of(const LoadedCheckpoint& checkpoint) {
  TrainingData data;
  if (const auto sampler = checkpoint.state.values.find("sampler");
      sampler != checkpoint.state.values.end() && sampler->is_object())
    read_domain_names(*sampler, data.domains_);
  if (checkpoint.state.arrays.contains("sampler.ids")) {
    const auto ids = checkpoint.state.array<uint64_t>("sampler.ids");
    data.ids_.insert(ids.begin(), ids.end());
    return data;
  }
  for (const std::string& manifest : training_manifests(checkpoint)) {
    if (!fs::is_regular_file(manifest)) continue;
    for (const Utterance& utterance : read_manifest(manifest)) {
      data.domains_.insert(utterance.domain);
      data.ids_.insert(utterance.id);
    }
  }
  return data;
}

std::string TrainingData::relation_of(const std::string& domain, const std::vector<uint64_t>& ids) const {
  if (domains_.empty() && ids_.empty()) return "unknown";
  const auto known = std::count_if(ids.begin(), ids.end(), [this](uint64_t id) { return ids_.contains(id); });
  if (known > 0 && 2 * static_cast<size_t>(known) >= ids.size()) return "in";
  return domains_.contains(domain) ? "domain" : "out";
}

std::string evaluation_text(const EvaluationResult& result) {
  TextTable table({{"manifest", TextTable::kLeft},
                   {"domain", TextTable::kLeft},
                   {"utterances"},
                   {"hours"},
                   {"CER % [95 %]"},
                   {"WER % [95 %]"},
                   {"sub"},
                   {"del"},
                   {"ins"},
                   {"trained on", TextTable::kLeft}});
  std::vector<std::string> failures;
  size_t utterances = 0;
  double hours = 0;
  EditCounts all;
  for (const ScoredSet& set : result.sets) {
    const EditCounts sum = sum_of(set.utterances, kCharacters);
    table.add_row({set.manifest, set.domain, std::to_string(set.utterances.size()), hours_text(hours_of(set)),
                   rate_cell(set, kCharacters), rate_cell(set, kWords), std::to_string(sum.substitutions),
                   std::to_string(sum.deletions), std::to_string(sum.insertions), set.training});
    utterances += set.utterances.size();
    hours += hours_of(set);
    all += sum;
    for (const ScoredUtterance& one : set.utterances)
      if (!one.failure.empty()) failures.push_back(one.failure);
  }
  table.add_rule();
  table.add_row({"macro average over domains", "", std::to_string(utterances), hours_text(hours),
                 percent(macro_rate(result, kCharacters)), percent(macro_rate(result, kWords)),
                 std::to_string(all.substitutions), std::to_string(all.deletions), std::to_string(all.insertions), ""});
  std::string text =
      concat(result.checkpoint, ", step ", result.step, "; text normalised by ", result.normalizer, "\n");
  text += refusals_text(result);
  text += table.text();
  text +=
      "sub, del, ins count characters. trained on: in = at least half of these utterances were training data, domain ="
      " their domain was, out = neither\n";
  append_list(text, "audio that could not be read, all of it counted as deleted", failures);
  std::vector<std::string> left_out;
  for (const LeftOut& line : result.left_out) left_out.push_back(line.audio_path + ": " + line.reason);
  append_list(text, "left out", left_out);
  for (const std::string& note : result.notes) text += printable(note) + "\n";
  return text;
}

json evaluation_json(const EvaluationResult& result) {
  json sets = json::array();
  for (const ScoredSet& set : result.sets) {
    const EditCounts sum = sum_of(set.utterances, kCharacters), words = sum_of(set.utterances, kWords);
    const Interval cer = interval_of(set.utterances, kCharacters), wer = interval_of(set.utterances, kWords);
    json results = json::array();
    for (const ScoredUtterance& one : set.utterances)
      results.push_back({{"id", stable_id_text(one.id)},
                         {"audio_filepath", one.audio_path},
                         {"edits", one.characters.edits()},
                         {"length", one.characters.reference_length}});
    sets.push_back({{"manifest", set.manifest},
                    {"domain", set.domain},
                    {"utterances", set.utterances.size()},
                    {"hours", hours_of(set)},
                    {"cer", sum.rate()},
                    {"cer_low", cer.low},
                    {"cer_high", cer.high},
                    {"wer", words.rate()},
                    {"wer_low", wer.low},
                    {"wer_high", wer.high},
                    {"substitutions", sum.substitutions},
                    {"deletions", sum.deletions},
                    {"insertions", sum.insertions},
                    {"reference_length", sum.reference_length},
                    {"in_training", set.training == "in" || set.training == "domain"},
                    {"training", set.training},
                    {"utterance_results", results}});
  }
  json left_out = json::array();
  for (const LeftOut& line : result.left_out) left_out.push_back(line.audio_path + ": " + line.reason);
  return {{"checkpoint", result.checkpoint},
          {"step", result.step},
          {"normalizer", result.normalizer},
          {"macro_cer", macro_rate(result, kCharacters)},
          {"macro_wer", macro_rate(result, kWords)},
          {"sets", sets},
          {"left_out", left_out},
          {"notes", result.notes}};
}

std::string hypotheses_text(const EvaluationResult& result) {
  std::string text;
  for (const ScoredSet& set : result.sets)
    for (const ScoredUtterance& one : set.utterances) {
      json line = {{"id", stable_id_text(one.id)},
                   {"manifest", set.manifest},
                   {"domain", set.domain},
                   {"audio_filepath", one.audio_path},
                   {"reference", one.reference},
                   {"hypothesis", one.hypothesis},
                   {"edits", one.characters.edits()},
                   {"length", one.characters.reference_length}};
      if (!one.failure.empty()) line["failure"] = one.failure;
      text += line.dump() + "\n";
    }
  return text;
}

}  // namespace rehearse
