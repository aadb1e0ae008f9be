// "uniform": domain by share, then every utterance of the domain once per pass in a keyed order. What is observed is
// remembered as a curriculum remembers it, for fine-tuning and for the list of doubtful texts; it changes no draw.
#include <algorithm>
#include <cmath>
#include <string>

#include "data/sampler/curriculum_sampler.h"
#include "data/sampler/drawn_error.h"
#include "data/sampler/keyed_permutation.h"
#include "data/sampler/sampler.h"
#include "data/sampler/saved_state.h"
#include "data/sampler/shares/domain_shares.h"
#include "trainer/base/random.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

using namespace std::string_literals;

class UniformSampler : public Sampler {
 public:
  using Options = SamplerOptions;
  static constexpr const char* kExample = "{type: uniform}";

  UniformSampler(const Options& options, const Context& context)
      : layout_(context),
        shares_(options, layout_, context.planned_draws),
        key_(RandomKey(context.seed).with("uniform")),
        window_key_(key_),
        cursor_(layout_.num_domains(), 0),
        drawn_(layout_.num_domains()),
        error_name_(options.error_name),
        memory_(options, context) {}

  void begin_window(uint64_t first_step) override {
    open_window(first_step);
    memory_.remember(first_step);
  }

  Draw draw(uint64_t position) override {
    const size_t domain = shares_.pick(window_key_.bits(position));
    const uint64_t size = layout_.size(domain);
    const uint64_t pass = cursor_[domain] / size;
    const KeyedPermutation order(size, key_.with(domain).with(pass));
    Draw draw;
    draw.utterance = layout_.first(domain) + static_cast<uint32_t>(order.at(cursor_[domain] % size));
    draw.visit = static_cast<uint32_t>(pass);
    draw.is_learned = !std::binary_search(bad_files_.begin(), bad_files_.end(), draw.utterance);
    ++cursor_[domain];
    memory_.count_visit(draw.utterance, first_step_);
    return draw;
  }

  void observe(uint64_t step, std::span<const Observation> observations, bool) override {
    std::vector<Observation> remembered(observations.begin(), observations.end());
    for (Observation& o : remembered) o.draw.bin = static_cast<uint16_t>(memory_.table().bin(o.draw.utterance));
    memory_.observe(step, remembered, /*in_warmup=*/true);
    for (const Observation& o : observations) {
      const double error = std::clamp(o.error, 0.0, 1.0);
      if (o.is_infeasible && !o.is_bad_file) continue;
      mark(o.draw.utterance, o.is_bad_file);
      if (!o.is_bad_file)
        drawn_[layout_.domain_of(o.draw.utterance)].add(step, static_cast<uint16_t>(std::lround(error * 65535)), false);
    }
  }

  void save(State& state) const override {
    memory_.save(state);
    nlohmann::json values = CurriculumSampler::take_memory(state);
    values.update({{"type", "uniform"},
                   {"utterances", layout_.num_utterances()},
                   {"domains", layout_.names()},
                   {"first_step", first_step_},
                   {"planned_draws", shares_.planned_draws()}});
    for (const DrawnError& drawn : drawn_) values["drawn"].push_back(drawn.to_json());
    state.values["sampler"] = std::move(values);
    state.arrays["sampler.cursor"] = StateArray::of(cursor_);
    state.arrays["sampler.bad_files"] = StateArray::of(bad_files_);
  }

  void load(const State& state) override {
    read_saved("sampler", [&] { load_values(state); });
  }

  // Passes begin anew; what is known of utterances stays known.
  void import_table(const State& old_state, const std::vector<uint64_t>& old_ids,
                    const std::vector<uint64_t>& new_ids) override {
    memory_.import_table(old_state, old_ids, new_ids);
  }
  std::vector<uint32_t> unmeasured() const override { return memory_.unmeasured(); }
  std::vector<std::string> measure(std::span<const Measured> measured) override { return memory_.measure(measured); }
  void set_planned_draws(uint64_t planned_draws) override { shares_.set_planned_draws(planned_draws); }
  std::vector<std::string> notes() const override { return shares_.notes(); }

  nlohmann::json report() const override {
    const nlohmann::json known = memory_.report().at("domains");
    nlohmann::json domains = nlohmann::json::array(), warnings = nlohmann::json::array();
    for (size_t d = 0; d < layout_.num_domains(); ++d) {
      const uint64_t size = layout_.size(d);
      domains.push_back({{"name", layout_.name(d)},
                         {"share", shares_.share(d)},
                         {"state", "uniform"},
                         {layout_.examples(), size},
                         {"draws", cursor_[d]},
                         {"unseen", size - std::min(size, cursor_[d])},
                         {"drawn_" + error_name_, drawn_[d].mean()},
                         {"drawn_window", drawn_[d].num_draws()}});
      for (const std::string& key : {"table_" + error_name_, "median"s, "cut"s, "is_good"s, "quarantined"s,
                                     "bad_files"s, "reference_" + error_name_})
        if (known.at(d).contains(key)) domains.back()[key] = known.at(d).at(key);
      for (const std::string& line : memory_.forgetting_warnings(d)) warnings.push_back(line);
    }
    return {{"type", "uniform"}, {"domains", domains}, {"warnings", warnings}};
  }

 private:
  void open_window(uint64_t first_step) {
    first_step_ = first_step;
    window_key_ = key_.with("window").with(first_step);
  }

  // Checkpoints from before there was a memory have neither its values nor its arrays.
  static bool has_memory(const State& state) {
    return state.values.at("sampler").contains("memory") ||
           std::any_of(state.arrays.begin(), state.arrays.end(), [](const auto& array) {
             return array.first == "sampler.ids" || array.first.starts_with("sampler.table");
           });
  }

  void load_values(const State& state) {
    const nlohmann::json values = state.values.value("sampler", nlohmann::json::object());
    if (values.value("type", "") != "uniform" || values.value("utterances", 0u) != layout_.num_utterances() ||
        values.value("domains", std::vector<std::string>()) != layout_.names())
      throw DataError("checkpoint: sampler: expected type uniform with ", layout_.num_utterances(), " utterances in ",
                      layout_.num_domains(), " domains; found ", values.value("type", "nothing"), " with ",
                      values.value("utterances", 0u), "; resume with the manifests and the sampler of the saved run");
    cursor_ = state.array<uint64_t>("sampler.cursor");
    bad_files_ = state.array<uint32_t>("sampler.bad_files");
    if (cursor_.size() != layout_.num_domains() || !std::is_sorted(bad_files_.begin(), bad_files_.end()) ||
        (!bad_files_.empty() && bad_files_.back() >= layout_.num_utterances()))
      throw DataError("checkpoint: sampler: expected a cursor for each of ", layout_.num_domains(),
                      " domains and bad files of this corpus; found others; it is damaged");
    for (size_t d = 0; d < drawn_.size(); ++d) drawn_[d] = DrawnError::from_json(values.at("drawn").at(d));
    shares_.set_planned_draws(values.at("planned_draws"));
    open_window(values.at("first_step"));
    if (has_memory(state)) memory_.load_memory(state);
  }

  void mark(uint32_t utterance, bool is_bad) {
    const auto place = std::lower_bound(bad_files_.begin(), bad_files_.end(), utterance);
    const bool was_bad = place != bad_files_.end() && *place == utterance;
    if (is_bad && !was_bad) bad_files_.insert(place, utterance);
    if (!is_bad && was_bad) bad_files_.erase(place);
  }

  DomainLayout layout_;
  DomainShares shares_;
  RandomKey key_;
  RandomKey window_key_;
  uint64_t first_step_ = 0;
  std::vector<uint64_t> cursor_;     // draws so far, per domain
  std::vector<uint32_t> bad_files_;  // ascending
  std::vector<DrawnError> drawn_;
  std::string error_name_;
  CurriculumSampler memory_;
};

REHEARSE_REGISTER(Sampler, "uniform", UniformSampler);

}  // namespace
}  // namespace rehearse
