#include "trainer/tasks/speech/examine/doctor_data.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <map>
#include <set>
#include <thread>

#include "data/speech/audio/audio_problem.h"
#include "trainer/base/error.h"
#include "trainer/base/text/printable.h"
#include "trainer/base/text/table.h"

namespace rehearse {
namespace {

constexpr double kDurationEdges_s[] = {1, 2, 4, 8, 16};

std::vector<std::string> probe_all(const std::vector<Utterance>& utterances, int threads) {
  const AudioReaders readers;
  std::vector<std::string> found(utterances.size());
  std::atomic<size_t> next = 0;
  std::vector<std::jthread> workers;
  workers.reserve(static_cast<size_t>(threads));
  for (int i = 0; i < threads; ++i)
    workers.emplace_back([&] {
      for (size_t at = next++; at < utterances.size(); at = next++) found[at] = audio_problem(readers, utterances[at]);
    });
  workers.clear();  // joins
  return found;
}

std::string kind_of(const std::string& reason) {
  return reason.substr(0, reason.find(':'));
}

std::string fixed(double value, int digits) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

// Usable items of all manifests by domain name.
std::map<std::string, std::vector<const Corpus::Item*>> items_by_domain(const std::vector<ManifestCheck>& checks) {
  std::map<std::string, std::vector<const Corpus::Item*>> domains;
  for (const ManifestCheck& check : checks)
    for (const Corpus::Item& item : check.usable) domains[check.domains[item.domain]].push_back(&item);
  return domains;
}

}  // namespace

ManifestCheck check_manifest(const std::string& manifest, const Normalizer& normalizer, const Tokenizer& tokenizer,
                             const Corpus::Options& options, const FrameNeeds& frames, int threads) {
  ManifestCheck check;
  check.manifest = manifest;
  try {
    const std::vector<Utterance> utterances = read_manifest(manifest);
    check.num_lines = utterances.size();
    Corpus::Options all = options;
    all.max_rejected_share = 1;
    const Corpus corpus(utterances, normalizer, tokenizer, all, frames);
    for (const Rejection& one : corpus.rejections())
      check.problems.push_back({one.domain, one.name, one.reason, false, true});
    std::set<uint64_t> usable;
    for (const Corpus::Item& item : corpus.items()) usable.insert(item.utterance.id);
    check.usable = corpus.items();
    check.domains = corpus.domains();
    check.losses = corpus.text_losses();
    const std::vector<std::string> found = probe_all(utterances, threads);
    for (size_t i = 0; i < found.size(); ++i) {
      if (found[i].empty()) continue;
      const bool is_silent = found[i].starts_with("silent");
      const bool is_mixed = found[i].starts_with("antiphase") || found[i].starts_with("channels");
      check.problems.push_back({utterances[i].domain, utterances[i].audio_path, found[i], true,
                                !is_silent && !is_mixed && usable.contains(utterances[i].id)});
      check.num_silent += is_silent ? 1 : 0;
    }
  } catch (const DataError& failure) {
    check.failure = failure.what();
  }
  return check;
}

std::vector<std::string> excessive_losses(const std::vector<ManifestCheck>& checks, double max_rejected_share) {
  std::map<std::string, std::pair<size_t, size_t>> counts;  // lost, all
  for (const ManifestCheck& check : checks) {
    for (const DataProblem& problem : check.problems) {
      counts[problem.domain].first += problem.is_lost ? 1 : 0;
      counts[problem.domain].second += problem.is_audio ? 0 : 1;  // those are among the usable
    }
    for (const Corpus::Item& item : check.usable) ++counts[check.domains[item.domain]].second;
  }
  std::vector<std::string> lines;
  for (const auto& [domain, count] : counts) {
    const double share = static_cast<double>(count.first) / static_cast<double>(std::max<size_t>(1, count.second));
    if (share > max_rejected_share)
      lines.push_back(concat("domain \"", domain, "\" would lose ", count.first, " of ", count.second, " utterances (",
                             fixed(100 * share, 1), " %); data.max_rejected_share allows ",
                             fixed(100 * max_rejected_share, 1), " %"));
  }
  return lines;
}

std::string problems_text(const ManifestCheck& check, size_t listed) {
  if (!check.failure.empty()) return printable_lines(check.manifest + ": " + check.failure) + "\n";
  std::map<std::string, std::vector<const DataProblem*>> kinds;
  for (const DataProblem& problem : check.problems) kinds[kind_of(problem.reason)].push_back(&problem);
  std::string text =
      concat(check.manifest, ": ", check.num_lines, " utterances, ",
             kinds.empty() ? std::string("nothing wrong") : concat(check.problems.size(), " findings"), "\n");
  for (const auto& [kind, problems] : kinds) {
    text += concat("  ", kind, ": ", problems.size(), "\n");
    for (size_t i = 0; i < std::min(listed, problems.size()); ++i)
      text += concat("    ", printable(problems[i]->audio_path), ": ", printable(problems[i]->reason), "\n");
    if (problems.size() > listed) text += concat("    and ", problems.size() - listed, " more\n");
  }
  return text;
}

std::string problems_list(const std::vector<ManifestCheck>& checks) {
  std::string text;
  for (const ManifestCheck& check : checks) {
    if (!check.failure.empty()) text += concat(check.manifest, "\t\t\t", printable(check.failure), "\n");
    for (const DataProblem& problem : check.problems)
      text += concat(check.manifest, "\t", problem.domain, "\t", printable(problem.audio_path), "\t",
                     printable(problem.reason), "\n");
  }
  return text;
}

std::string durations_text(const std::vector<ManifestCheck>& checks) {
  std::vector<TextTable::Column> columns = {
      {"domain", TextTable::kLeft}, {"utterances"}, {"hours"}, {"median s"}, {"longest s"}};
  double from = 0;
  for (double edge : kDurationEdges_s) {
    columns.push_back({concat(from, "-", edge, " s")});
    from = edge;
  }
  columns.push_back({concat(from, "- s")});
  TextTable table(columns);
  for (const auto& [domain, items] : items_by_domain(checks)) {
    std::vector<double> durations;
    for (const Corpus::Item* item : items) durations.push_back(item->utterance.duration_s);
    std::sort(durations.begin(), durations.end());
    double sum = 0;
    std::vector<size_t> bins(std::size(kDurationEdges_s) + 1);
    for (double duration_s : durations) {
      sum += duration_s;
      const auto* edge = std::upper_bound(std::begin(kDurationEdges_s), std::end(kDurationEdges_s), duration_s);
      ++bins[static_cast<size_t>(edge - std::begin(kDurationEdges_s))];
    }
    std::vector<std::string> row = {domain, std::to_string(items.size()), fixed(sum / 3600, 3),
                                    fixed(durations[durations.size() / 2], 2), fixed(durations.back(), 2)};
    for (size_t count : bins) row.push_back(std::to_string(count));
    table.add_row(row);
  }
  return table.text();
}

}  // namespace rehearse
