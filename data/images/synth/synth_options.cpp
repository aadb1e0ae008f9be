#include "data/images/synth/synth_options.h"

#include <algorithm>

#include "trainer/base/error.h"
#include "trainer/base/text/printable.h"

namespace rehearse::images::synth {
namespace {

constexpr int64_t kMostPictures = 1'000'000;

const std::vector<FaceDomainOptions>& known_domains() {
  static const std::vector<FaceDomainOptions> kDomains = {
      {.name = "frontal"},
      {.name = "turned", .yaw_deg = {20, 50}, .pitch_deg = {-12, 12}, .roll_deg = {-12, 12}},
      {.name = "dark",
       .yaw_deg = {0, 20},
       .light_level = {0.2, 0.5},
       .light_side_deg = {25, 80},
       .noise = {4, 10},
       .occlusion = 0.15}};
  return kDomains;
}

std::vector<std::string> known_names() {
  std::vector<std::string> names;
  for (const FaceDomainOptions& domain : known_domains()) names.push_back(domain.name);
  return names;
}

const FaceDomainOptions* known_domain(const std::string& name) {
  for (const FaceDomainOptions& domain : known_domains())
    if (domain.name == name) return &domain;
  return nullptr;
}

Span span_from(ConfigNode& node, const std::string& key, const Span& fallback, const Range<double>& range) {
  const std::vector<double> span = node.numbers(key, {fallback.low, fallback.high}, range);
  if (span.size() != 2 || span[0] > span[1]) node.fail(key, "expected [lowest, highest]; found another list");
  return {span[0], span[1]};
}

// It names a folder and is a label of metrics.
void expect_domain_name(const ConfigNode& node, const std::string& name) {
  const bool is_name = !name.empty() && name.size() <= 100 && printable(name) == name && name[0] != '.' &&
                       name.find('/') == std::string::npos;
  if (!is_name)
    throw ConfigError(node.where(), ": expected a name of a domain that can name a folder; found ", quoted(name));
}

FaceDomainOptions domain_from(ConfigNode node, const std::string& name, int64_t train, int64_t valid) {
  expect_domain_name(node, name);
  const FaceDomainOptions* known = known_domain(name);
  const FaceDomainOptions& base =
      known != nullptr ? *known : *known_domain(node.choice("like", "frontal", known_names()));
  FaceDomainOptions domain = base;
  domain.name = name;
  domain.train = node.integer("train", train, {0, kMostPictures});
  domain.valid = node.integer("valid", valid, {0, kMostPictures});
  domain.yaw_deg = span_from(node, "yaw_deg", base.yaw_deg, {0, 75});
  domain.pitch_deg = span_from(node, "pitch_deg", base.pitch_deg, {-45, 45});
  domain.roll_deg = span_from(node, "roll_deg", base.roll_deg, {-180, 180});
  domain.light_level = span_from(node, "light_level", base.light_level, {0.05, 3});
  domain.light_side_deg = span_from(node, "light_side_deg", base.light_side_deg, {0, 120});
  domain.noise = span_from(node, "noise", base.noise, {0, 100});
  domain.occlusion = node.number("occlusion", base.occlusion, {0, 1});
  return domain;
}

}  // namespace

SynthFacesOptions SynthFacesOptions::from(ConfigNode& node) {
  SynthFacesOptions options;
  const FaceDomainOptions sizes;
  options.seed = static_cast<uint64_t>(node.integer("seed", static_cast<int64_t>(options.seed), {0}));
  options.size = node.integer("size", options.size, {24, 512});
  options.hidden_missing = node.number("hidden_missing", options.hidden_missing, {0, 1});
  const int64_t train = node.integer("train", sizes.train, {0, kMostPictures});
  const int64_t valid = node.integer("valid", sizes.valid, {0, kMostPictures});
  ConfigNode domains = node.child("domains");
  std::vector<std::string> names = domains.keys();
  if (names.empty()) names = known_names();
  for (const std::string& name : names) options.domains.push_back(domain_from(domains.child(name), name, train, valid));
  return options;
}

void SynthFacesOptions::limit_pictures(int64_t count) {
  for (FaceDomainOptions& domain : domains) {
    domain.train = count;
    domain.valid = std::min(domain.valid, count);
  }
}

}  // namespace rehearse::images::synth
