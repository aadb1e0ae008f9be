#include "data/speech/manifest.h"

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>
#include <unordered_map>

#include "data/speech/utterance_fields.h"
#include "data/text/text_lines.h"
#include "trainer/base/error.h"
#include "trainer/base/files.h"
#include "trainer/base/random.h"
#include "trainer/base/text/printable.h"

namespace rehearse {
namespace {

using nlohmann::json;

constexpr size_t kStableIdTextBytes = 17;
constexpr size_t kListedLines = 20;

std::optional<uint64_t> parse_stable_id_text(const std::string& text) {
  if (text.size() != kStableIdTextBytes || text[0] != '#') return std::nullopt;
  if (text.find_first_not_of("0123456789abcdef", 1) != std::string::npos) return std::nullopt;
  return std::stoull(text.substr(1), nullptr, 16);
}

uint64_t id_of(const UtteranceFields& fields, const Utterance& utterance, const std::string& audio_filepath) {
  if (!fields.is_given("id"))
    return stable_utterance_id(utterance.domain, fs::path(audio_filepath).filename().string(), utterance.offset_s,
                               utterance.duration_s, utterance.channel);
  const std::string id = fields.name("id");
  if (const auto literal = parse_stable_id_text(id)) return *literal;
  return stable_utterance_id(utterance.domain, id, 0, 0);
}

Utterance utterance_of(const UtteranceFields& fields, const fs::path& folder) {
  const std::string audio_filepath = fields.path("audio_filepath");
  Utterance utterance;
  utterance.audio_path = (folder / audio_filepath).string();
  utterance.text = fields.text("text");
  utterance.domain = fields.name("domain", "; name the kind of speech, every line has one");
  utterance.speaker = fields.optional_name("speaker");
  utterance.lang = fields.optional_name("lang");
  utterance.license = fields.optional_name("license");
  fields.optional_name("source");  // kept by packs, read by nobody
  utterance.duration_s = fields.required_seconds("duration");
  if (utterance.duration_s <= 0) fields.fail("duration", "> 0", concat(utterance.duration_s));
  utterance.offset_s = fields.seconds("offset").value_or(0);
  if (utterance.offset_s < 0) fields.fail("offset", ">= 0", concat(utterance.offset_s));
  utterance.channel = fields.channel();
  utterance.id = id_of(fields, utterance, audio_filepath);
  return utterance;
}

// Two utterances with one stable id.
std::string advice_for(const Utterance& one, const Utterance& other) {
  const auto place = [](const Utterance& utterance) {
    return std::tuple(fs::path(utterance.audio_path).lexically_normal(), utterance.offset_s, utterance.channel);
  };
  return place(one) == place(other) ? "it is the same piece of audio: list it once"
                                    : "give both lines a different `id`";
}

[[noreturn]] void fail_equal(const Utterance& one, const std::string& manifest_of_one, const Utterance& other,
                             const std::string& manifest_of_other) {
  throw DataError(manifest_of_other, ": id: expected a stable id of its own for ", quoted(other.audio_path), "; found ",
                  stable_id_text(other.id), ", which ", quoted(one.audio_path), " of ", manifest_of_one, " has; ",
                  advice_for(one, other));
}

// The bad lines of one file: all are counted, the first are listed.
class BadLines {
 public:
  explicit BadLines(std::string path) : path_(std::move(path)) {}

  void add(const std::string& message) {
    if (++count_ <= kListedLines) messages_ += "\n  " + message;
    if (count_ == 1) first_ = message;
  }
  bool is_empty() const { return count_ == 0; }
  void expect_none(size_t num_lines) const {
    if (count_ == 0) return;
    if (count_ == 1) throw DataError(first_);
    const std::string rest = count_ > kListedLines ? concat("\n  and ", count_ - kListedLines, " more") : "";
    throw DataError(path_, ": expected ", num_lines, " utterances; found ", count_, " bad lines", messages_, rest);
  }

 private:
  std::string path_, first_, messages_;
  size_t count_ = 0;
};

using LineVisitor = std::function<void(Utterance&& utterance, const std::string& line, size_t number)>;

void scan_lines(const std::string& path, BadLines& bad, const LineVisitor& visit) {
  TextLines lines(path);
  const fs::path folder = fs::path(path).parent_path();
  size_t num_lines = 0;
  for (std::string line; lines.next(line);) {
    if (line.find_first_not_of(" \t") == std::string::npos) continue;
    if (++num_lines == 1) expect_json_lines(line, path);
    try {
      visit(utterance_of(UtteranceFields(lines.where(), line, FieldRules::kOwn), folder), line, lines.number());
    } catch (const DataError& failure) {
      bad.add(failure.what());
    }
  }
  bad.expect_none(num_lines);
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
  if (utterance.channel) fields["channel"] = *utterance.channel;
  if (!utterance.speaker.empty()) fields["speaker"] = utterance.speaker;
  if (!utterance.lang.empty()) fields["lang"] = utterance.lang;
  if (!utterance.license.empty()) fields["license"] = utterance.license;
  const uint64_t implied = stable_utterance_id(utterance.domain, path.filename().string(), utterance.offset_s,
                                               utterance.duration_s, utterance.channel);
  if (utterance.id != implied) fields["id"] = stable_id_text(utterance.id);
  return fields.dump();
}

}  // namespace

std::vector<Utterance> read_manifest(const std::string& path) {
  std::vector<Utterance> utterances;
  std::vector<size_t> numbers;  // of their lines
  std::unordered_map<uint64_t, size_t> index_of_id;
  BadLines bad(path);
  scan_lines(path, bad, [&](Utterance&& utterance, const std::string&, size_t number) {
    const auto [first, is_new] = index_of_id.emplace(utterance.id, utterances.size());
    if (!is_new)
      throw DataError(path, ":", number, ": id: expected a stable id of its own; found that of line ",
                      numbers[first->second], " (sample ", quoted(utterance.audio_path), "); ",
                      advice_for(utterances[first->second], utterance));
    utterances.push_back(std::move(utterance));
    numbers.push_back(number);
  });
  return utterances;
}

std::vector<Utterance> read_manifests(const std::vector<std::string>& paths) {
  std::map<fs::path, std::string> listed;
  struct Place {
    size_t manifest, index;
  };
  std::unordered_map<uint64_t, Place> first_with;
  std::vector<Utterance> all;
  for (size_t m = 0; m < paths.size(); ++m) {
    std::error_code absent;  // is said when the manifest is read
    fs::path canonical = fs::weakly_canonical(paths[m], absent);
    const auto [earlier, is_new] = listed.emplace(absent ? fs::path(paths[m]) : canonical, paths[m]);
    if (!is_new)
      throw DataError(paths[m], ": expected every manifest once; found it listed twice",
                      earlier->second == paths[m] ? "" : concat(", also as ", earlier->second), "; leave one out");
    for (Utterance& utterance : read_manifest(paths[m])) {
      const auto [first, is_new_id] = first_with.emplace(utterance.id, Place{m, all.size()});
      if (!is_new_id) fail_equal(all[first->second.index], paths[first->second.manifest], utterance, paths[m]);
      all.push_back(std::move(utterance));
    }
  }
  return all;
}

void scan_manifest(const std::string& path, const ManifestVisitor& visit) {
  BadLines bad(path);
  scan_lines(path, bad, [&](Utterance&& utterance, const std::string& line, size_t) {
    if (bad.is_empty()) visit(std::move(utterance), line);
  });
}

void expect_unique_ids(const std::vector<Utterance>& utterances) {
  std::unordered_map<uint64_t, const Utterance*> seen;
  seen.reserve(utterances.size());
  for (const Utterance& utterance : utterances) {
    const auto [first, is_new] = seen.emplace(utterance.id, &utterance);
    if (!is_new)
      throw DataError("manifests: id: expected a stable id of its own for every utterance; found ",
                      stable_id_text(utterance.id), " for ", quoted(first->second->audio_path), " and ",
                      quoted(utterance.audio_path), " of domain ", utterance.domain, "; ",
                      advice_for(*first->second, utterance));
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
                             double duration_s, std::optional<int> channel) {
  // Microseconds: how a number was printed must not matter.
  const auto microseconds = [](double seconds) { return std::to_string(std::llround(seconds * 1e6)); };
  const std::string separator = "\x1F";
  return hash_text(domain + separator + id_or_file + separator + microseconds(offset_s) + separator +
                   microseconds(duration_s) + (channel ? separator + std::to_string(*channel) : ""));
}

}  // namespace rehearse
