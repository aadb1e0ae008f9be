#include "data/speech/synth/synth_options.h"

#include <algorithm>
#include <map>

#include "data/speech/synth/espeak.h"
#include "trainer/base/error.h"
#include "trainer/base/text/words.h"

namespace rehearse::synth {

namespace {

constexpr int64_t kMostUtterances = 1'000'000;

// Sizes that every domain takes unless its own entry says otherwise.
struct Sizes {
  int64_t train_utterances = 0;
  double train_seconds = 0;  // 0: the domain's own default
  int64_t valid_utterances = 40;
  int64_t test_utterances = 60;
};

Sizes sizes_from(ConfigNode& node, const Sizes& fallback) {
  Sizes sizes;
  sizes.train_utterances = node.integer("train_utterances", fallback.train_utterances, {0, kMostUtterances});
  sizes.train_seconds = node.number("train_seconds", fallback.train_seconds, {0, 1e7});
  sizes.valid_utterances = node.integer("valid_utterances", fallback.valid_utterances, {0, kMostUtterances});
  sizes.test_utterances = node.integer("test_utterances", fallback.test_utterances, {0, kMostUtterances});
  return sizes;
}

SnrRange snr_from(ConfigNode& node, const SnrRange& fallback) {
  const std::vector<double> range = node.numbers("snr_db", {fallback.low_db, fallback.high_db}, {-20, 100});
  if (range.size() != 2 || range[0] > range[1]) node.fail("snr_db", "expected [lowest, highest]; found another list");
  return {range[0], range[1]};
}

DomainOptions domain_from(ConfigNode node, const Domain& domain, Sizes common) {
  if (common.train_seconds == 0) common.train_seconds = domain.train_seconds;
  const Sizes sizes = sizes_from(node, common);
  DomainOptions options{.domain = &domain,
                        .train_utterances = sizes.train_utterances,
                        .train_seconds = sizes.train_seconds,
                        .valid_utterances = sizes.valid_utterances,
                        .test_utterances = sizes.test_utterances,
                        .snr = snr_from(node, domain.snr),
                        .voices = node.texts("voices", domain.voices),
                        .test_voices = node.texts("test_voices", domain.test_voices)};
  if (options.voices.empty()) node.fail("voices", "expected at least one voice; found none");
  if (options.test_voices.empty()) node.fail("test_voices", "expected at least one voice; found none");
  return options;
}

void expect_new_test_speakers(ConfigNode& domains, const std::vector<DomainOptions>& options) {
  std::map<std::string, std::string> trained;  // speaker to domain
  for (const DomainOptions& domain : options)
    for (const std::string& voice : domain.voices) trained.emplace(speaker_of(voice), domain.domain->name);
  for (const DomainOptions& domain : options) {
    for (const std::string& voice : domain.test_voices) {
      const auto found = trained.find(speaker_of(voice));
      if (found != trained.end())
        domains.child(domain.domain->name)
            .fail("test_voices", concat("expected speakers that are trained on nowhere; found ", voice,
                                        ", a training voice of ", found->second));
    }
  }
}

std::vector<DomainOptions> domains_from(ConfigNode& node, const Sizes& common) {
  ConfigNode chosen = node.child("domains");
  std::vector<std::string> names = chosen.keys();
  std::vector<std::string> known;
  for (const Domain& domain : all_domains()) known.push_back(domain.name);
  for (const std::string& name : names) expect_one_of(chosen.where(name), name, known);
  if (names.empty()) names = known;
  std::vector<DomainOptions> options;
  for (const Domain& domain : all_domains())
    if (std::find(names.begin(), names.end(), domain.name) != names.end())
      options.push_back(domain_from(chosen.child(domain.name), domain, common));
  expect_new_test_speakers(chosen, options);
  return options;
}

}  // namespace

SynthOptions SynthOptions::from(ConfigNode& node) {
  SynthOptions options;
  options.seed = static_cast<uint64_t>(node.integer("seed", static_cast<int64_t>(options.seed), {0}));
  options.min_duration_s = node.number("min_duration_s", options.min_duration_s, {0.2, 60});
  options.max_duration_s = node.number("max_duration_s", options.max_duration_s, {options.min_duration_s, 60});
  options.min_speed_wpm = node.integer("min_speed_wpm", options.min_speed_wpm, {80, 450});
  options.max_speed_wpm = node.integer("max_speed_wpm", options.max_speed_wpm, {options.min_speed_wpm, 450});
  options.min_pitch = node.integer("min_pitch", options.min_pitch, {0, 99});
  options.max_pitch = node.integer("max_pitch", options.max_pitch, {options.min_pitch, 99});
  options.domains = domains_from(node, sizes_from(node, {}));
  return options;
}

void SynthOptions::limit_utterances(int64_t count) {
  for (DomainOptions& domain : domains) {
    domain.train_utterances = count;
    domain.valid_utterances = std::min(domain.valid_utterances, count);
    domain.test_utterances = std::min(domain.test_utterances, count);
  }
}

}  // namespace rehearse::synth
