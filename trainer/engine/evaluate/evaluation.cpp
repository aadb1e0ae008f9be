#include "trainer/engine/evaluate/evaluation.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

#include "data/dataset.h"
#include "trainer/base/error.h"
#include "trainer/base/text/printable.h"
#include "trainer/base/text/table.h"
#include "trainer/engine/evaluate/bootstrap.h"

namespace rehearse {
namespace {

using nlohmann::json;

Ratio ratio_of(const ScoredExample& one, const ScoreTerm& term) {
  return {one.sums.at(term.numerator), one.sums.at(term.denominator)};
}

Ratio sum_of(const ScoredSet& set, const ScoreTerm& term) {
  Ratio sum;
  for (const ScoredExample& one : set.examples) sum += ratio_of(one, term);
  return sum;
}

int64_t count_of(const ScoredSet& set, const CountTerm& term) {
  double sum = 0;
  for (const ScoredExample& one : set.examples) sum += one.sums.at(term.sum);
  return std::llround(sum);
}

Interval interval_of(const ScoredSet& set, const ScoreTerm& term) {
  std::vector<Ratio> ratios;
  ratios.reserve(set.examples.size());
  for (const ScoredExample& one : set.examples) ratios.push_back(ratio_of(one, term));
  return bootstrap_ratio(ratios);
}

double size_of(const ScoredSet& set, const TaskTerms& terms) {
  double cost = 0;
  for (const ScoredExample& one : set.examples) cost += one.cost;
  return cost * terms.size_per_cost;
}

double macro_of(const EvaluationResult& result, const ScoreTerm& term) {
  std::map<std::string, Ratio> domains;
  for (const ScoredSet& set : result.sets) domains[set.domain] += sum_of(set, term);
  double sum = 0;
  for (const auto& [domain, ratio] : domains) sum += ratio.value();
  return domains.empty() ? 0 : sum / static_cast<double>(domains.size());
}

std::string shown(double value, bool is_percent) {
  char text[32];
  std::snprintf(text, sizeof text, is_percent ? "%.2f" : "%.4g", is_percent ? 100 * value : value);
  return text;
}

std::string score_cell(const ScoredSet& set, const ScoreTerm& term) {
  const Interval interval = interval_of(set, term);
  return concat(shown(sum_of(set, term).value(), term.is_percent), " [", shown(interval.low, term.is_percent), ", ",
                shown(interval.high, term.is_percent), "]");
}

std::string size_text(double size, const TaskTerms& terms) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", terms.size_digits, size);
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

// Counts are written as such.
json number(double value) {
  return value == std::floor(value) ? json(std::llround(value)) : json(value);
}

void append_list(std::string& text, const std::string& title, const std::vector<std::string>& lines) {
  if (lines.empty()) return;
  text += concat("\n", title, " (", lines.size(), ")\n");
  for (const std::string& line : lines) text += "  " + printable(line) + "\n";
}

struct Refusals {
  size_t refused = 0;
  size_t all = 0;
  std::string text(const TaskTerms& terms) const {
    return concat(refused, " of ", all, " ", terms.examples, " (",
                  shown(static_cast<double>(refused) / static_cast<double>(all), true), " %)");
  }
};

std::map<std::pair<std::string, std::string>, Refusals> refusals_by_set(const EvaluationResult& result) {
  std::map<std::pair<std::string, std::string>, Refusals> sets;
  for (const ScoredSet& set : result.sets) {
    Refusals& counts = sets[{set.manifest, set.domain}];
    counts.all += set.examples.size();
    counts.refused += static_cast<size_t>(
        std::ranges::count_if(set.examples, [](const ScoredExample& one) { return !one.failure.empty(); }));
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
  return sum.refused == 0 ? "" : concat(sum.text(*result.terms), " were refused; the reasons are below\n");
}

}  // namespace

std::vector<std::string> excessive_refusals(const EvaluationResult& result, double max_rejected_share) {
  std::vector<std::string> lines;
  for (const auto& [set, counts] : refusals_by_set(result))
    if (static_cast<double>(counts.refused) > max_rejected_share * static_cast<double>(counts.all))
      lines.push_back(concat(set.first, ": domain ", quoted(set.second), ": expected at most ",
                             shown(max_rejected_share, true),
                             " % refused (data.max_rejected_share of the checkpoint); found ",
                             counts.text(*result.terms), "; mend or remove them"));
  return lines;
}

TrainingData TrainingData::of(const LoadedCheckpoint& checkpoint, const std::function<Ids()>& ids) {
  TrainingData data;
  if (const auto sampler = checkpoint.state.values.find("sampler");
      sampler != checkpoint.state.values.end() && sampler->is_object())
    read_domain_names(*sampler, data.domains_);
  if (checkpoint.state.arrays.contains("sampler.ids")) {
    const auto kept = checkpoint.state.array<uint64_t>("sampler.ids");
    data.ids_.insert(kept.begin(), kept.end());
    return data;
  }
  for (const auto& [id, domain] : ids()) {
    data.domains_.insert(domain);
    data.ids_.insert(id);
  }
  return data;
}

std::string TrainingData::relation_of(const std::string& domain, const std::vector<uint64_t>& ids) const {
  if (domains_.empty() && ids_.empty()) return "unknown";
  const auto known = std::count_if(ids.begin(), ids.end(), [this](uint64_t id) { return ids_.contains(id); });
  if (known > 0 && 2 * static_cast<size_t>(known) >= ids.size()) return "in";
  return domains_.contains(domain) ? "domain" : "out";
}

namespace {

TextTable columns_of(const TaskTerms& terms) {
  std::vector<TextTable::Column> columns = {
      {"manifest", TextTable::kLeft}, {"domain", TextTable::kLeft}, {terms.examples}};
  if (!terms.size_mark.empty()) columns.push_back({terms.size_title});
  for (const ScoreTerm& score : terms.scores)
    columns.push_back({concat(score.title, score.is_percent ? " %" : "", " [95 %]")});
  for (const CountTerm& count : terms.counts)
    if (!count.title.empty()) columns.push_back({count.title});
  columns.push_back({"trained on", TextTable::kLeft});
  return TextTable(columns);
}

void add_set(const ScoredSet& set, const TaskTerms& terms, TextTable& table) {
  std::vector<std::string> row = {set.manifest, set.domain, std::to_string(set.examples.size())};
  if (!terms.size_mark.empty()) row.push_back(size_text(size_of(set, terms), terms));
  for (const ScoreTerm& score : terms.scores) row.push_back(score_cell(set, score));
  for (const CountTerm& count : terms.counts)
    if (!count.title.empty()) row.push_back(std::to_string(count_of(set, count)));
  row.push_back(set.training);
  table.add_row(row);
}

void add_macro(const EvaluationResult& result, const TaskTerms& terms, TextTable& table) {
  size_t examples = 0;
  double size = 0;
  for (const ScoredSet& set : result.sets) {
    examples += set.examples.size();
    size += size_of(set, terms);
  }
  std::vector<std::string> row = {"macro average over domains", "", std::to_string(examples)};
  if (!terms.size_mark.empty()) row.push_back(size_text(size, terms));
  for (const ScoreTerm& score : terms.scores) row.push_back(shown(macro_of(result, score), score.is_percent));
  for (const CountTerm& count : terms.counts) {
    int64_t sum = 0;
    for (const ScoredSet& set : result.sets) sum += count_of(set, count);
    if (!count.title.empty()) row.push_back(std::to_string(sum));
  }
  row.emplace_back("");
  table.add_rule();
  table.add_row(row);
}

json json_of(const ScoredSet& set, const TaskTerms& terms) {
  const ScoreTerm& first = terms.scores.at(0);
  json results = json::array();
  for (const ScoredExample& one : set.examples) {
    results.push_back({{"id", stable_id_text(one.id)}, {terms.name_key, one.name}});
    if (!first.numerator_key.empty()) results.back()[first.numerator_key] = number(one.sums.at(first.numerator));
    if (!first.denominator_key.empty()) results.back()[first.denominator_key] = number(one.sums.at(first.denominator));
  }
  json object = {{"manifest", set.manifest},
                 {"domain", set.domain},
                 {terms.examples, set.examples.size()},
                 {terms.size_key, size_of(set, terms)},
                 {"in_training", set.training == "in" || set.training == "domain"},
                 {"training", set.training},
                 {terms.example + "_results", results}};
  for (const ScoreTerm& score : terms.scores) {
    const Interval interval = interval_of(set, score);
    object[score.key] = sum_of(set, score).value();
    object[score.key + "_low"] = interval.low;
    object[score.key + "_high"] = interval.high;
  }
  for (const CountTerm& count : terms.counts) object[count.key] = count_of(set, count);
  return object;
}

}  // namespace

std::string evaluation_text(const EvaluationResult& result) {
  const TaskTerms& terms = *result.terms;
  TextTable table = columns_of(terms);
  std::vector<std::string> failures, left_out;
  for (const ScoredSet& set : result.sets) {
    add_set(set, terms, table);
    for (const ScoredExample& one : set.examples)
      if (!one.failure.empty()) failures.push_back(one.failure);
  }
  add_macro(result, terms, table);
  std::string text = concat(result.checkpoint, ", step ", result.step);
  text += (result.note.empty() ? "" : "; " + result.note) + "\n";
  text += refusals_text(result);
  text += table.text();
  text += concat(terms.counts_hint, "trained on: in = at least half of these ", terms.examples,
                 " were training data, domain = their domain was, out = neither\n");
  append_list(text, terms.failures_title.empty() ? "could not be loaded" : terms.failures_title, failures);
  for (const LeftOut& line : result.left_out) left_out.push_back(line.name + ": " + line.reason);
  append_list(text, "left out", left_out);
  for (const std::string& note : result.notes) text += printable(note) + "\n";
  if (!result.detail_table.empty()) text += "\n" + result.detail_table;
  return text;
}

json evaluation_json(const EvaluationResult& result) {
  const TaskTerms& terms = *result.terms;
  json object = {{"checkpoint", result.checkpoint}, {"step", result.step}, {"notes", result.notes}};
  if (terms.task != kFirstTask) object["task"] = terms.task;
  object.update(result.facts);
  for (const ScoreTerm& score : terms.scores) object["macro_" + score.key] = macro_of(result, score);
  object["sets"] = json::array();
  for (const ScoredSet& set : result.sets) object["sets"].push_back(json_of(set, terms));
  object["left_out"] = json::array();
  for (const LeftOut& line : result.left_out) object["left_out"].push_back(line.name + ": " + line.reason);
  return object;
}

std::string answers_text(const EvaluationResult& result) {
  const ScoreTerm& first = result.terms->scores.at(0);
  std::string text;
  for (const ScoredSet& set : result.sets)
    for (const ScoredExample& one : set.examples) {
      json line = {{"id", stable_id_text(one.id)},
                   {"manifest", set.manifest},
                   {"domain", set.domain},
                   {result.terms->name_key, one.name}};
      if (one.detail.is_object()) line.update(one.detail);
      if (!first.numerator_key.empty()) line[first.numerator_key] = number(one.sums.at(first.numerator));
      if (!first.denominator_key.empty()) line[first.denominator_key] = number(one.sums.at(first.denominator));
      if (!one.failure.empty()) line["failure"] = one.failure;
      text += line.dump() + "\n";
    }
  return text;
}

}  // namespace rehearse
