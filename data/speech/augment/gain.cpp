// Louder or quieter: one factor for the whole utterance, uniform in decibels.
#include <cmath>

#include "data/speech/augment/augmentation.h"
#include "trainer/base/registry.h"

namespace rehearse {

namespace {

class Gain final : public Augmentation {
 public:
  struct Options {
    double min_db = -6;
    double max_db = 6;
    double share = 1;  // probability that an utterance is changed
    static Options from(ConfigNode& node) {
      Options options;
      options.min_db = node.number("min_db", options.min_db, {-60, 60});
      options.max_db = node.number("max_db", options.max_db, {-60, 60});
      options.share = node.number("share", options.share, {0, 1});
      if (options.min_db > options.max_db)
        node.fail("min_db", concat("expected at most max_db (", options.max_db, "); found ", options.min_db));
      return options;
    }
  };
  static constexpr const char* kExample = "{type: gain, min_db: -6, max_db: 6, share: 0.5}";

  Gain(const Options& options, const Context&) : options_(options) {}

  void apply(std::vector<float>& samples, const RandomKey& key) const override {
    if (key.uniform(0) >= options_.share) return;
    const double gain_db = options_.min_db + (options_.max_db - options_.min_db) * key.uniform(1);
    const auto factor = static_cast<float>(std::pow(10.0, gain_db / 20));
    for (float& sample : samples) sample *= factor;
  }

 private:
  Options options_;
};

REHEARSE_REGISTER(Augmentation, "gain", Gain);

}  // namespace

}  // namespace rehearse
