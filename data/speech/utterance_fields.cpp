#include "data/speech/utterance_fields.h"

#include <charconv>
#include <cmath>
#include <system_error>

#include "data/speech/import/rejected_source.h"
#include "data/text/utf8.h"
#include "trainer/base/error.h"
#include "trainer/base/text/printable.h"

namespace rehearse {
namespace {

constexpr double kLongestSeconds = 1e7;
constexpr double kMostChannels = 1024;

nlohmann::json object_of(const std::string& where, const std::string& line) {
  try {
    code_points(line);
  } catch (const DataError& failure) {
    // Its advice is about a transcript.
    const std::string said = reason_without_path("text", failure.what());
    throw DataError(where, ": ", said.substr(0, said.rfind("; ")), "; convert the file to UTF-8");
  }
  return parse_json_object(line, where);
}

std::string sample_of(const nlohmann::json& object) {
  const auto audio = object.find("audio_filepath");
  return audio == object.end() ? "" : concat(" (sample ", shown_json(*audio), ")");
}

// The number that the whole text is, as JSON writes numbers; "0.6 s", "0,6", "inf" and "" are none.
std::optional<double> number_in(const std::string& text) {
  double value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool is_number = failure == std::errc() && end == text.data() + text.size() && std::isfinite(value);
  return is_number ? std::optional(value) : std::nullopt;
}

}  // namespace

UtteranceFields::UtteranceFields(const std::string& where, const std::string& line, FieldRules rules)
    : object_(object_of(where, line)), fields_(object_, where, sample_of(object_)), rules_(rules) {}

std::string UtteranceFields::text(const char* field) const {
  const auto* value = fields_.find(field);
  if (value == nullptr || !value->is_string()) fields_.fail(field, "a string");
  return value->get<std::string>();
}

// Whole numbers are names in foreign files: they are the same in every spelling that JSON has for them.
std::string UtteranceFields::name_of(const char* field) const {
  const auto* value = fields_.find(field);
  const bool is_whole = value != nullptr && value->is_number_integer();
  if (rules_ == FieldRules::kForeign && is_whole) return value->dump();
  if (value == nullptr || !value->is_string())
    fields_.fail(field, rules_ == FieldRules::kOwn ? "a string" : "a string or a whole number");
  return value->get<std::string>();
}

std::string UtteranceFields::name(const char* field, const char* hint) const {
  const std::string text = name_of(field);
  if (text.empty()) fields_.fail(field, "a name", concat("an empty string", hint));
  if (!is_name(text))
    fields_.fail(field, concat("a name without control characters, of at most ", kLongestName, " bytes"), quoted(text));
  return text;
}

std::string UtteranceFields::optional_name(const char* field) const {
  if (!is_given(field) || name_of(field).empty()) return "";
  return name(field);
}

// Files may be called anything that a text file can say, also letters that are written from right to left.
std::string UtteranceFields::path(const char* field) const {
  const std::string path = text(field);
  if (path.empty()) fields_.fail(field, "a name", "an empty string");
  for (const unsigned char c : path)
    if (c < 0x20 || c == 0x7F) fields_.fail(field, "a name without control characters", quoted(path));
  return path;
}

double UtteranceFields::number(const char* field, const char* expected) const {
  const auto* value = fields_.find(field);
  if (value == nullptr) fields_.fail(field, expected);
  if (value->is_number()) return value->get<double>();
  const auto converted =
      value->is_string() && rules_ == FieldRules::kForeign ? number_in(value->get<std::string>()) : std::nullopt;
  if (!converted) fields_.fail(field, concat(expected, " as a number"));
  ++num_converted_;
  return *converted;
}

double UtteranceFields::required_seconds(const char* field) const {
  const double value = number(field, "seconds");
  if (!(std::abs(value) <= kLongestSeconds)) fields_.fail(field, concat("at most ", kLongestSeconds));
  return value;
}

std::optional<double> UtteranceFields::seconds(const char* field) const {
  return is_given(field) ? std::optional(required_seconds(field)) : std::nullopt;
}

std::optional<int> UtteranceFields::channel() const {
  if (!is_given("channel")) return std::nullopt;
  const double value = number("channel", "a channel, counted from 0,");
  if (!(value >= 0 && value < kMostChannels && value == std::floor(value)))
    fields_.fail("channel", "a channel, counted from 0");
  return static_cast<int>(value);
}

bool is_name(const std::string& text) {
  return !text.empty() && text.size() <= kLongestName && printable(text) == text;
}

void expect_json_lines(const std::string& line, const std::string& path) {
  const size_t first = line.find_first_not_of(" \t"), last = line.find_last_not_of(" \t");
  if (first == std::string::npos) return;
  const bool is_object_line = line[first] == '{' && line[last] == '}';
  if (line[first] == '[' && (first == last || line.find('{') != std::string::npos))
    throw DataError(path, ": expected JSON Lines, one object a line; found a JSON array; write its objects one a line:",
                    " jq -c '.[]' ", quoted(path));
  if (!is_object_line && line[first] == '{' && (line[last] == '{' || line[last] == ','))
    throw DataError(path, ": expected JSON Lines, one object a line; found objects over several lines; write them one",
                    " a line: jq -c . ", quoted(path));
}

}  // namespace rehearse
