#include "data/speech/synth/synth_corpus.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <sstream>

#include "data/speech/manifest.h"
#include "data/speech/synth/utterance_maker.h"
#include "trainer/base/error.h"

namespace rehearse::synth {

namespace {

using nlohmann::json;

constexpr const char* kFormat = "rehearse-synth";
constexpr int kFormatVersion = 1;
constexpr Split kSplits[] = {Split::kTrain, Split::kValid, Split::kTest};

// Everything that decides what is written: equal requests give equal corpora.
json request_of(const SynthOptions& options, const Espeak& espeak) {
  json domains = json::object();
  for (const DomainOptions& domain : options.domains)
    domains[domain.domain->name] = {{"train_utterances", domain.train_utterances},
                                    {"train_seconds", domain.train_seconds},
                                    {"valid_utterances", domain.valid_utterances},
                                    {"test_utterances", domain.test_utterances},
                                    {"snr_db", {domain.snr.low_db, domain.snr.high_db}},
                                    {"voices", domain.voices},
                                    {"test_voices", domain.test_voices}};
  return {{"seed", options.seed},
          {"espeak_ng", espeak.version()},
          {"duration_s", {options.min_duration_s, options.max_duration_s}},
          {"speed_wpm", {options.min_speed_wpm, options.max_speed_wpm}},
          {"pitch", {options.min_pitch, options.max_pitch}},
          {"domains", domains}};
}

fs::path manifest_path(const fs::path& folder, const std::string& domain, const std::string& split) {
  return folder / domain / (split + ".jsonl");
}

// The report of a folder that holds the requested corpus; nothing when it holds none.
std::optional<SynthReport> existing_report(const fs::path& folder, const json& request) {
  const fs::path path = folder / "spec.json";
  std::error_code absent;
  if (!fs::exists(path, absent)) return std::nullopt;
  const json spec = json::parse(read_text(path), nullptr, false);
  const auto is = [&](const char* field, const json& value) { return spec.contains(field) && spec[field] == value; };
  if (!spec.is_object() || !is("format", kFormat) || !is("version", kFormatVersion) || !is("request", request))
    throw ConfigError(path.string(),
                      ": expected the corpus that is asked for; found another one; name another folder "
                      "or delete this one");
  SynthReport report;
  report.was_complete = true;
  report.word_types = spec.at("word_types");
  for (const auto& [domain, sets] : spec.at("sets").items()) {
    for (const auto& [split, set] : sets.items()) {
      const fs::path manifest = manifest_path(folder, domain, split);
      if (!fs::exists(manifest, absent) || sha256_of_file(manifest) != set.at("sha256"))
        throw ConfigError(manifest.string(),
                          ": expected the manifest that spec.json names; found another or none; "
                          "delete spec.json to make the corpus again");
      report.sets[domain][split] = {set.at("utterances"), set.at("seconds")};
    }
  }
  return report;
}

void add_words(const std::vector<Utterance>& utterances, std::set<std::string>& words) {
  for (const Utterance& utterance : utterances) {
    std::istringstream text(utterance.text);
    for (std::string word; text >> word;) words.insert(word);
  }
}

void expect_known_voices(const SynthOptions& options, const Espeak& espeak) {
  espeak.expect_voices(babble_voices());
  for (const DomainOptions& domain : options.domains) {
    espeak.expect_voices(domain.voices);
    espeak.expect_voices(domain.test_voices);
  }
}

}  // namespace

const char* name_of(Split split) {
  switch (split) {
    case Split::kTrain:
      return "train";
    case Split::kValid:
      return "valid";
    case Split::kTest:
      return "test";
  }
  return "";
}

Split split_of(const std::string& sentence) {
  const uint64_t tenth = RandomKey(hash_text(sentence)).with("split").below(10, 0);
  if (tenth == 0) return Split::kTest;
  return tenth == 1 ? Split::kValid : Split::kTrain;
}

SynthReport write_synth_corpus(const SynthOptions& options, const Espeak& espeak, const fs::path& folder, int jobs,
                               Log& log) {
  REHEARSE_CHECK(jobs > 0, "somebody has to do the work");
  const json request = request_of(options, espeak);
  if (auto report = existing_report(folder, request)) return *report;
  expect_known_voices(options, espeak);

  SynthReport report;
  std::set<std::string> words;
  json sets = json::object();
  for (const DomainOptions& domain : options.domains) {
    const std::string& name = domain.domain->name;
    for (Split split : kSplits) {
      log.status(concat("synth: ", name, " ", name_of(split)));
      const auto utterances = UtteranceMaker(options, domain, split, espeak, folder, jobs).make_all();
      const fs::path manifest = manifest_path(folder, name, name_of(split));
      write_manifest(manifest.string(), utterances);
      SetReport& set = report.sets[name][name_of(split)];
      set.utterances = static_cast<int64_t>(utterances.size());
      for (const Utterance& utterance : utterances) set.seconds += utterance.duration_s;
      add_words(utterances, words);
      sets[name][name_of(split)] = {
          {"utterances", set.utterances}, {"seconds", set.seconds}, {"sha256", sha256_of_file(manifest)}};
    }
  }
  log.status("");
  report.word_types = static_cast<int64_t>(words.size());
  const json spec = {{"format", kFormat},
                     {"version", kFormatVersion},
                     {"seed", options.seed},
                     {"sets", sets},
                     {"espeak_ng", espeak.version()},
                     {"request", request},
                     {"word_types", report.word_types}};
  FileLayer files;
  replace_text(files, folder / "spec.json", spec.dump(2) + "\n");
  return report;
}

}  // namespace rehearse::synth
