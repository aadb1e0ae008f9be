#include "data/manifest.h"

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "data/text/utf8.h"
#include "trainer/base/error.h"
#include "trainer/base/files.h"
#include "trainer/base/random.h"

namespace rehearse {
namespace {

using nlohmann::json;

constexpr double kLongestSeconds = 1e7;
constexpr size_t kPrintedBytes = 80;
constexpr size_t kStableIdTextBytes = 17;

bool has_control_character(std::string_view text) {
  for (unsigned char c : text)
    if (c < 0x20 || c == 0x7F) return true;
  return false;
}

std::string printed(const json& value) {
  std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  if (text.size() <= kPrintedBytes) return text;
  size_t end = kPrintedBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0u) == 0x80u) --end;
  return text.substr(0, end) + "…";
}

std::optional<uint64_t> parse_stable_id_text(const std::string& text) {
  if (text.size() != kStableIdTextBytes || text[0] != '#') return std::nullopt;
  if (text.find_first_not_of("0123456789abcdef", 1) != std::string::npos) return std::nullopt;
  return std::stoull(text.substr(1), nullptr, 16);
}

// The fields of one line, checked one by one; every failure names file, line and field.
class LineFields {
 public:
  LineFields(const std::string& path, size_t number, const std::string& line)
      : where_(concat(path, ":", number)), fields_(parse(line)) {}

  std::string required_text(const char* field) const {
    auto found = fields_.find(field);
    if (found == fields_.end()) fail(field, "a string", "nothing");
    if (!found->is_string()) fail(field, "a string", printed(*found));
    return found->get<std::string>();
  }

  std::string optional_text(const char* field) const { return is_given(field) ? required_text(field) : std::string(); }

  // Non-empty, without control characters: names of files and domains.
  std::string name(const char* field, const char* hint) const {
    const std::string text = required_text(field);
    if (text.empty()) fail(field, "a name", concat("an empty string", hint));
    if (has_control_character(text)) fail(field, "a name without control characters", printed(text));
    return text;
  }

  double seconds(const char* field) const {
    auto found = fields_.find(field);
    if (found == fields_.end()) fail(field, "seconds", "nothing");
    if (!found->is_number()) fail(field, "seconds as a number", printed(*found));
    const double value = found->get<double>();
    if (!(std::abs(value) <= kLongestSeconds)) fail(field, concat("at most ", kLongestSeconds), printed(*found));
    return value;
  }

  bool is_given(const char* field) const {
    auto found = fields_.find(field);
    return found != fields_.end() && !found->is_null();
  }

  [[noreturn]] void fail(const char* field, const std::string& expected, const std::string& found) const {
    auto sample = fields_.find("audio_filepath");
    const std::string tail = sample == fields_.end() || std::string_view(field) == "audio_filepath"
                                 ? ""
                                 : " (sample " + printed(*sample) + ")";
    throw DataError(where_, ": ", field, ": expected ", expected, "; found ", found, tail);
  }

 private:
  json parse(const std::string& line) const {
    try {
      code_points(line);
    } catch (const DataError& failure) {
      throw DataError(where_, ": ", failure.what(), "; convert the file to UTF-8");
    }
    json fields;
    try {
      fields = json::parse(line);
    } catch (const json::exception& failure) {
      throw DataError(where_, ": expected one JSON object; found ", failure.what());
    }
    if (!fields.is_object()) throw DataError(where_, ": expected one JSON object; found ", printed(fields));
    return fields;
  }

  std::string where_;
  json fields_;
};

uint64_t id_of(const LineFields& fields, const Utterance& utterance, const std::string& audio_filepath) {
  if (!fields.is_given("id"))
    return stable_utterance_id(utterance.domain, fs::path(audio_filepath).filename().string(), utterance.offset_s,
                               utterance.duration_s);
  const std::string id = fields.required_text("id");
  if (id.empty()) fields.fail("id", "a name", "an empty string");
  if (const auto literal = parse_stable_id_text(id)) return *literal;
  return stable_utterance_id(utterance.domain, id, 0, 0);
}

Utterance utterance_of(const LineFields& fields, const fs::path& folder) {
  const std::string audio_filepath = fields.name("audio_filepath", "");
  Utterance utterance;
  utterance.audio_path = (folder / audio_filepath).string();
  utterance.text = fields.required_text("text");
  utterance.domain = fields.name("domain", "; name the kind of speech, every line has one");
  utterance.speaker = fields.optional_text("speaker");
  utterance.lang = fields.optional_text("lang");
  utterance.license = fields.optional_text("license");
  utterance.duration_s = fields.seconds("duration");
  if (utterance.duration_s <= 0) fields.fail("duration", "> 0", concat(utterance.duration_s));
  if (fields.is_given("offset")) utterance.offset_s = fields.seconds("offset");
  if (utterance.offset_s < 0) fields.fail("offset", ">= 0", concat(utterance.offset_s));
  utterance.id = id_of(fields, utterance, audio_filepath);
  return utterance;
}

using LineVisitor = std::function<void(Utterance&& utterance, const std::string& line, size_t number)>;

void scan_lines(const std::string& path, const LineVisitor& visit) {
  std::ifstream file(path, std::ios::binary);
  if (!file || fs::is_directory(path)) throw DataError(path, ": expected a manifest; found no readable file");
  const fs::path folder = fs::path(path).parent_path();
  std::string line;
  for (size_t number = 1; std::getline(file, line); ++number) {
    if (number == 1 && line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.find_first_not_of(" \t") == std::string::npos) continue;
    visit(utterance_of(LineFields(path, number, line), folder), line, number);
  }
  if (file.bad()) throw DataError(path, ": expected a manifest; found a read error");
}

fs::path path_in_manifest(const std::string& audio_path, const fs::path& folder) {
  const fs::path absolute = fs::absolute(audio_path).lexically_normal();
  const fs::path relative = absolute.lexically_relative(folder);
  const bool is_below = !relative.empty() && *relative.begin() != "..";
  return is_below ? relative : absolute;
}

std::string line_of(const Utterance& utterance, const fs::path& folder) {
  const fs::path path = path_in_manifest(utterance.audio_path, folder);
  nlohmann::ordered_json fields;
  fields["audio_filepath"] = path.string();
  fields["text"] = utterance.text;
  fields["domain"] = utterance.domain;
  fields["duration"] = utterance.duration_s;
  if (utterance.offset_s != 0) fields["offset"] = utterance.offset_s;
  if (!utterance.speaker.empty()) fields["speaker"] = utterance.speaker;
  if (!utterance.lang.empty()) fields["lang"] = utterance.lang;
  if (!utterance.license.empty()) fields["license"] = utterance.license;
  const uint64_t implied =
      stable_utterance_id(utterance.domain, path.filename().string(), utterance.offset_s, utterance.duration_s);
  if (utterance.id != implied) fields["id"] = stable_id_text(utterance.id);
  return fields.dump();
}

}  // namespace

std::vector<Utterance> read_manifest(const std::string& path) {
  std::vector<Utterance> utterances;
  std::unordered_map<uint64_t, size_t> line_of_id;
  scan_lines(path, [&](Utterance&& utterance, const std::string&, size_t number) {
    const auto [first, is_new] = line_of_id.emplace(utterance.id, number);
    if (!is_new)
      throw DataError(path, ":", number, ": id: expected a stable id of its own; found that of line ", first->second,
                      " (sample \"", utterance.audio_path, "\"); give both lines a different `id`");
    utterances.push_back(std::move(utterance));
  });
  return utterances;
}

void scan_manifest(const std::string& path, const ManifestVisitor& visit) {
  scan_lines(path, [&](Utterance&& utterance, const std::string& line, size_t) { visit(std::move(utterance), line); });
}

void expect_unique_ids(const std::vector<Utterance>& utterances) {
  std::unordered_map<uint64_t, const Utterance*> seen;
  seen.reserve(utterances.size());
  for (const Utterance& utterance : utterances) {
    const auto [first, is_new] = seen.emplace(utterance.id, &utterance);
    if (!is_new)
      throw DataError("manifests: id: expected a stable id of its own for every utterance; found ",
                      stable_id_text(utterance.id), " for \"", first->second->audio_path, "\" and \"",
                      utterance.audio_path, "\" of domain ", utterance.domain, "; give both lines a different `id`");
  }
}

void write_manifest(const std::string& path, const std::vector<Utterance>& utterances) {
  const fs::path folder = fs::absolute(path).lexically_normal().parent_path();
  std::string text;
  for (const Utterance& utterance : utterances) {
    try {
      text += line_of(utterance, folder) + "\n";
    } catch (const json::exception& failure) {
      throw DataError(path, ": expected UTF-8; found ", failure.what(), " (sample \"", utterance.audio_path, "\")");
    }
  }
  FileLayer files;
  replace_text(files, path, text);
}

uint64_t stable_utterance_id(const std::string& domain, const std::string& id_or_file, double offset_s,
                             double duration_s) {
  // Microseconds: how a number was printed must not matter.
  const auto microseconds = [](double seconds) { return std::to_string(std::llround(seconds * 1e6)); };
  const std::string separator = "\x1F";
  return hash_text(domain + separator + id_or_file + separator + microseconds(offset_s) + separator +
                   microseconds(duration_s));
}

std::string stable_id_text(uint64_t id) {
  char text[kStableIdTextBytes + 1];
  std::snprintf(text, sizeof(text), "#%016llx", static_cast<unsigned long long>(id));
  return text;
}

}  // namespace rehearse
