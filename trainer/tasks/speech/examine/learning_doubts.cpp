#include "trainer/tasks/speech/examine/learning_doubts.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "data/text/utf8.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

constexpr double kMostRare = 1.0 / 3;                   // of the vocabulary
constexpr double kMostParametersPerSecond = 2000;       // of training speech: a rule of thumb, not a measurement
constexpr size_t kUpdates = 20;                         // that silence lasts before it is said
constexpr double kSilence = 0.999, kNoSilence = 0.995;  // share of blank frames

std::string hours_text(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f h", seconds / 3600);
  return text;
}

double parameters_per_second(const LearningMaterial& material) {
  return static_cast<double>(material.parameters) / std::max(1.0, material.speech_s);
}

}  // namespace

LearningMaterial LearningMaterial::of(const std::vector<Corpus::Item>& items, const Tokenizer& tokenizer,
                                      uint64_t parameters) {
  LearningMaterial material;
  material.token_counts.resize(static_cast<size_t>(tokenizer.size()));
  material.parameters = parameters;
  for (int token = 0; token < tokenizer.size(); ++token)
    material.has_subwords |= code_points(tokenizer.piece(token)).size() > 1;
  for (const Corpus::Item& item : items) {
    material.speech_s += item.utterance.duration_s;
    for (const int32_t token : item.tokens) ++material.token_counts[static_cast<size_t>(token)];
  }
  return material;
}

uint64_t LearningMaterial::num_rare() const {
  return static_cast<uint64_t>(std::ranges::count_if(token_counts, [](uint64_t count) { return count < kRareToken; }));
}

std::string material_text(const LearningMaterial& material) {
  return concat(hours_text(material.speech_s), " of speech; ", material.token_counts.size(), " tokens, ",
                material.num_rare(), " of them in the texts fewer than ", kRareToken, " times; ", material.parameters,
                " parameters, ", std::lround(parameters_per_second(material)), " for a second of speech");
}

std::vector<std::string> learning_doubts(const LearningMaterial& material) {
  std::vector<std::string> doubts;
  const auto tokens = static_cast<double>(material.token_counts.size());
  if (static_cast<double>(material.num_rare()) > kMostRare * tokens)
    doubts.push_back(concat(
        "vocabulary: expected most tokens at least ", kRareToken, " times in the training texts; found ",
        material.num_rare(), " of ", material.token_counts.size(), " more seldom in ", hours_text(material.speech_s),
        " of speech; the model may learn nothing and stay silent; ",
        material.has_subwords ? "try characters (rehearse tokenizer --kind char), or fewer subwords, or more speech"
                              : "more speech helps"));
  if (parameters_per_second(material) > kMostParametersPerSecond)
    doubts.push_back(concat("model: expected at most ", kMostParametersPerSecond,
                            " parameters for a second of training speech; found ", material.parameters, " for ",
                            hours_text(material.speech_s),
                            "; it will know its texts by heart; try fewer channels or"
                            " blocks, or more speech"));
  return doubts;
}

std::string what_to_try() {
  return "for less than an hour of speech try characters instead of subwords (rehearse tokenizer --kind char), a "
         "smaller"
         " stride, smaller batches (more updates), a higher optimizer.lr or a longer schedule.warmup_share; else more"
         " minutes; rehearse doctor looks at the data";
}

std::string SilenceWatch::observe(double blank_frames, double frames) {
  if (frames <= 0) return "";
  if (last_.size() < kUpdates) last_.resize(kUpdates);
  last_[num_updates_++ % kUpdates] = {blank_frames, frames};
  if (num_updates_ < kUpdates) return "";
  double blank = 0, all = 0;
  for (const Update& one : last_) {
    blank += one.blank_frames;
    all += one.frames;
  }
  char share[32];
  std::snprintf(share, sizeof share, "%.2f %%", 100 * blank / all);
  if (!is_silent_ && blank >= kSilence * all) {
    is_silent_ = true;
    return concat("warning: the model says nothing: ", share, " of the frames of the last ", kUpdates,
                  " updates are blank, no token is learned yet; if it stays so: ", what_to_try());
  }
  if (is_silent_ && blank < kNoSilence * all) {
    is_silent_ = false;
    return concat("the model has begun to say something: ", share, " of the frames are blank now");
  }
  return "";
}

}  // namespace rehearse
