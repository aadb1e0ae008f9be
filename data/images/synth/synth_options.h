// How many faces of which domains, from which seed.
#pragma once

#include <string>
#include <vector>

#include "trainer/base/config/config.h"

namespace rehearse::images::synth {

struct Span {
  double low = 0, high = 0;
};

// What makes a domain; each picture draws uniformly from the spans.
struct FaceDomainOptions {
  std::string name;
  int64_t train = 2000;  // pictures
  int64_t valid = 200;
  Span yaw_deg{0, 12};  // to either side
  Span pitch_deg{-8, 8};
  Span roll_deg{-8, 8};
  Span light_level{0.75, 1.1};  // 1: a white wall that faces the light is white
  Span light_side_deg{0, 45};   // from the front, to either side
  Span noise{1, 4};             // standard deviation, grey levels
  double occlusion = 0.1;       // share of pictures with something before the face
};

struct SynthFacesOptions {
  uint64_t seed = 1;
  int64_t size = 96;          // pixels a side
  double hidden_missing = 0;  // share of hidden points that are marked missing
  std::vector<FaceDomainOptions> domains;

  // Domains are a map of names; those we know (frontal, turned, dark) bring their spans, another starts from the one it
  // is `like`. Without a map: all that we know. ConfigError for spans that do not rise, a size beyond 24 … 512, and so
  // on.
  static SynthFacesOptions from(ConfigNode& node);
  // Exactly this many training pictures a domain, and at most as many for validation.
  void limit_pictures(int64_t count);
};

}  // namespace rehearse::images::synth
