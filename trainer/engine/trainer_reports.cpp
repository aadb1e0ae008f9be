// The parts of Trainer that look at the run from outside: lines, validation, cost.
#include <ATen/Parallel.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>

#include "models/ops/products/block_product.h"
#include "trainer/base/text/json_fields.h"
#include "trainer/base/text/printable.h"
#include "trainer/device/host_memory.h"
#include "trainer/engine/evaluate/extremes.h"
#include "trainer/engine/trainer.h"

namespace rehearse {
namespace {

constexpr size_t kShownEach = 4;  // drawn answers of a validation, best and worst

double ratio(double part, double whole) {
  return whole > 0 ? part / whole : kUnknown;
}

// Mean target over domains by share, where the sampler steers at one.
double target_of(const nlohmann::json& domains) {
  double target = 0, share = 0;
  for (const auto& domain : domains) {
    if (!domain.contains("target") || !domain.contains("share")) return kUnknown;
    target += domain["share"].get<double>() * domain["target"].get<double>();
    share += domain["share"].get<double>();
  }
  return ratio(target, share);
}

}  // namespace

StepSummary Trainer::summarize() const {
  StepSummary summary;
  StepMetrics& m = summary.metrics;
  m.step = progress_.step;
  m.time_s = progress_.elapsed_s;
  m.passes = static_cast<double>(progress_.draws) / static_cast<double>(dataset().size());
  m.draws = progress_.draws;
  m.loss = ratio(since_log_.loss, since_log_.normalizer);
  for (const RatioTerm& term : terms().ratios)
    m.ratios.push_back(ratio(since_log_.task[term.numerator], since_log_.task[term.denominator]));
  m.drawn_error = ratio(since_log_.error, since_log_.num_measured());
  m.target_error = target_of(parts_.sampler.report().at("domains"));
  m.lr = lr_;
  m.grad_norm = gradient_norm_;
  m.cost = progress_.cost;
  m.cost_per_s = ratio(since_log_.cost, progress_.elapsed_s - last_log_elapsed_s_);
  m.phase_s = phases_;
  m.skipped = progress_.skipped;
  m.unreadable = static_cast<uint64_t>(since_log_.failures);
  m.infeasible = static_cast<uint64_t>(since_log_.infeasible);
  m.product_kernels = num_block_kernels();
  m.memory_blocks = host_memory_count().from_system;
  summary.total_steps = static_cast<uint64_t>(parts_.options.budget.steps);
  summary.budget_share = std::min(1.0, budget_share());
  const double share = budget_share();
  if (share > 0 && progress_.elapsed_s > 0)
    summary.remaining_s = std::max(0.0, progress_.elapsed_s / share * (1 - share));
  return summary;
}

void Trainer::log_step(bool is_last) {
  since_log_ += last_total_;
  const bool is_logged = is_last || progress_.step % static_cast<uint64_t>(parts_.options.log_every_steps) == 0;
  if (parts_.communicator.rank() == 0) {
    StepSummary summary = summarize();
    summary.is_last = is_last;
    parts_.run_log.step(summary, is_logged);
  }
  if (!is_logged) return;
  if (parts_.communicator.rank() == 0) log_sampler();
  since_log_ = {};
  phases_ = {};
  last_log_elapsed_s_ = progress_.elapsed_s;
}

void Trainer::log_sampler() {
  const nlohmann::json report = parts_.sampler.report();
  parts_.run_log.domains({progress_.step, report.at("domains")});
  for (const std::string line : report.at("warnings"))  // figures change, the warning stays the same
    if (warnings_.insert(line.substr(0, line.find("; found"))).second)
      parts_.run_log.note(progress_.step, "warning: " + line);
}

// Where to look at what the run has set aside.
void Trainer::report_quarantine() {
  uint64_t count = 0;
  const nlohmann::json report = parts_.sampler.report();
  for (const auto& domain : report.at("domains"))
    count += domain.value("quarantined", uint64_t{0}) + domain.value("bad_files", uint64_t{0});
  if (count == 0) return;
  std::string line = concat(count, " ", terms().example, "(s) look wrongly labelled or cannot be read");
  if (const std::string& verb = terms().quarantine_verb; !verb.empty())
    line += concat("; rehearse ", verb, " ", parts_.options.folder, " lists them");
  parts_.run_log.note(progress_.step, line);
}

// Files that training cannot use any more or can again, and the first draw that augmentation made too short.
void Trainer::report_files(const std::vector<Observation>& observations) {
  const auto path_of = [&](uint32_t utterance) { return rehearse::quoted(dataset().name_of(utterance)); };
  const BadFiles::Changes changes = bad_files_.observe(observations);
  for (const uint32_t utterance : changes.bad) {
    const auto own = reasons_.find(utterance);
    parts_.run_log.note(
        progress_.step,
        "left out: " +
            (own != reasons_.end() ? own->second : path_of(utterance) + ": the log of the rank that read it says why"));
  }
  for (const uint32_t utterance : changes.recovered)
    parts_.run_log.note(progress_.step, path_of(utterance) + ": can be read again and is learned from again");
  if (has_said_infeasible_) return;
  const auto is_too_short = [](const Observation& one) { return one.is_infeasible && !one.is_bad_file; };
  const auto first = std::ranges::find_if(observations, is_too_short);
  if (first == observations.end()) return;
  has_said_infeasible_ = true;
  parts_.run_log.note(progress_.step,
                      concat("warning: ", path_of(first->draw.utterance), ": ", terms().infeasible_note));
}

// They count as wrong from end to end, which looks like a model that fails.
void Trainer::report_unreadable(const std::vector<ExampleScore>& scores) {
  const auto is_bad = [](const ExampleScore& score) { return !score.failure.empty(); };
  const auto first = std::ranges::find_if(scores, is_bad);
  if (first == scores.end()) return;
  parts_.run_log.note(progress_.step,
                      concat("warning: validation: ", std::ranges::count_if(scores, is_bad), " of ", scores.size(),
                             " files cannot be read and count as wrong, e.g. ", first->failure));
}

void Trainer::validate() {
  progress_.last_validation_s = progress_.elapsed_s;
  progress_.validated_step = progress_.step;
  if (!parts_.validation) return;
  const TraceSpan span(lane(), "validate");
  Task& task = parts_.model.task();
  ShownPictures shown{progress_.step, {}};
  const auto scores = [&] {
    const AveragedWeights averaged(update_, parts_.model.arena());
    const int threads = std::max(parts_.options.loader_threads, at::get_num_threads());
    auto all =
        score_set(task, *parts_.validation, {.batch_cost = parts_.options.validation_batch, .loader_threads = threads},
                  parts_.communicator);
    if (parts_.communicator.rank() == 0) shown.pictures = drawn_extremes(task, *parts_.validation, all, kShownEach);
    return all;
  }();
  report_unreadable(scores);
  for (const std::string& remark : task.remarks_on(scores)) parts_.run_log.note(progress_.step, remark);
  const ValidationMetrics metrics = metrics_of(scores);
  if (metrics.sets.empty()) return;  // no rate of nothing is kept
  const bool is_better = progress_.best < 0 || metrics.best_of() < progress_.best;
  if (is_better) progress_.best = metrics.best_of();
  progress_.validations_without_gain = is_better ? 0 : progress_.validations_without_gain + 1;
  parts_.run_log.validation(metrics, progress_.best);
  parts_.run_log.pictures(shown);
  if (is_better && parts_.options.keep_best) save(true);
}

ValidationMetrics Trainer::metrics_of(const std::vector<ExampleScore>& scores) const {
  ValidationMetrics metrics;
  metrics.step = progress_.step;
  metrics.time_s = progress_.elapsed_s;
  metrics.macro.resize(terms().scores.size());
  for (const DomainScore& domain : scores_by_domain(parts_.validation->dataset, scores)) {
    ValidationSet& set = metrics.sets.emplace_back();
    set = {domain.domain, domain.domain, domain.examples, domain.cost * terms().size_per_cost, {}, domain.loss};
    for (size_t i = 0; i < metrics.macro.size(); ++i) {
      set.scores.push_back(score_of(domain.sums, terms().scores[i]));
      metrics.macro[i] += set.scores.back();
    }
  }
  for (double& mean : metrics.macro) mean /= static_cast<double>(std::max<size_t>(1, metrics.sets.size()));
  return metrics;
}

std::string Trainer::why_done() const {
  const BudgetOptions& budget = parts_.options.budget;
  if (budget_share() < 1)
    return concat("this run stopped early at step ", progress_.step, ", after ", progress_.validations_without_gain,
                  " validations without a better macro ", terms().scores[0].title,
                  "; to train on, raise validation.early_stop_patience");
  std::string set;
  const auto add = [&set](const char* key, double limit) {
    if (limit > 0) set += concat(set.empty() ? "" : ", ", "budget.", key, " ", limit);
  };
  add("steps", static_cast<double>(budget.steps));
  add("draws", static_cast<double>(budget.draws));
  add("passes", budget.passes);
  add("minutes", budget.minutes);
  return concat("this run is finished: step ", progress_.step, " has spent its budget (", set,
                "); to train on, raise it with --set; the learning rate then follows the new budget");
}

// What the run has cost so far, and the most memory that each rank had. A collective call.
void Trainer::report_cost() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto peaks =
      gather_values(parts_.communicator, static_cast<double>(usage.ru_maxrss) * 1024, "all_gather (memory)");
  CostMetrics cost;
  cost.step = progress_.step;
  cost.wall_s = progress_.elapsed_s;
  const bool is_cpu = parts_.options.device == "cpu";
  const double device_hours = progress_.elapsed_s / 3600 * parts_.communicator.size();
  (is_cpu ? cost.core_hours : cost.gpu_hours) = device_hours * (is_cpu ? std::max(1, at::get_num_threads()) : 1);
  cost.peak_rss_bytes = *std::max_element(peaks.begin(), peaks.end());
  cost.peak_rss_by_rank = peaks;
  cost.size = progress_.cost * terms().size_per_cost;
  cost.passes = static_cast<double>(progress_.draws) / static_cast<double>(dataset().size());
  cost.draws = progress_.draws;
  parts_.run_log.cost(cost);
}

}  // namespace rehearse
