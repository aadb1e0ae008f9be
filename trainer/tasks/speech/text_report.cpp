#include "trainer/tasks/speech/text_report.h"

#include "data/text/utf8.h"
#include "trainer/base/error.h"

namespace rehearse {

std::vector<std::string> text_warnings(const TextLosses& losses, TextUse use) {
  std::vector<std::string> lines = losses.unknown_lines();
  for (std::string& line : lines)
    line += concat("; ", use == TextUse::kLearned ? kUnknownInTraining : kUnknownInScoring);
  return lines;
}

std::vector<std::string> annotation_notes(const TextLosses& losses, const Normalizer& normalizer) {
  std::vector<std::string> lines = losses.annotation_lines();
  for (std::string& line : lines) line += "; " + annotations_advice(normalizer.drops_annotations());
  return lines;
}

void add_text_losses(const TextLosses& losses, const std::string& set, nlohmann::json& unknown,
                     nlohmann::json& annotations) {
  for (const auto& [name, counts] : losses.domains()) {
    nlohmann::json characters = nlohmann::json::object();
    for (const auto& [character, count] : counts.characters) characters[utf8_of({&character, 1})] = count;
    if (counts.unknown > 0)
      unknown.push_back({{"set", set},
                         {"domain", name},
                         {"characters", counts.unknown},
                         {"utterances", counts.unknown_texts},
                         {"counts", characters}});
    if (counts.annotated_texts > 0)
      annotations.push_back(
          {{"set", set}, {"domain", name}, {"utterances", counts.annotated_texts}, {"counts", counts.annotations}});
  }
}

}  // namespace rehearse
