// What the texts of one set hold that nobody learns, in words and for metrics.jsonl.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/text/normalizer.h"
#include "data/text/text_losses.h"

namespace rehearse {

enum class TextUse { kLearned, kScored };

// One line for each domain and kind, with what it means and what to do; empty when nothing is lost.
std::vector<std::string> text_warnings(const TextLosses& losses, TextUse use);
// The same for annotations: said, not warned of, since the configuration decides about them.
std::vector<std::string> annotation_notes(const TextLosses& losses, const Normalizer& normalizer);

// Adds an object for each domain to the lists `unknown_characters` and `annotations` of a start line (METRICS.md).
void add_text_losses(const TextLosses& losses, const std::string& set, nlohmann::json& unknown,
                     nlohmann::json& annotations);

}  // namespace rehearse
