#include "trainer/tasks/speech/examine/quarantine_list.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>
#include <unordered_map>

#include "data/sampler/quarantine.h"
#include "data/sampler/sampler_options.h"
#include "data/sampler/saved_state.h"
#include "data/speech/audio/audio_reader.h"
#include "data/speech/corpus.h"
#include "trainer/base/error.h"
#include "trainer/base/text/printable.h"
#include "trainer/base/text/table.h"
#include "trainer/engine/evaluate/evaluation.h"
#include "trainer/observe/progress.h"

namespace rehearse {
namespace {

// `data.train` of the checkpoint's configuration; empty where it has none.
std::vector<std::string> training_manifests(const LoadedCheckpoint& checkpoint) {
  const auto text = checkpoint.files.find("config.yaml");
  if (text == checkpoint.files.end()) return {};
  Config config = Config::parse(text->second, (checkpoint.path / "config.yaml").string());
  return config.root().child("data").texts("train", {});
}

constexpr double kFullCer = ErrorTable::kMaxError;

// The arrays of a checkpoint that speak of single utterances.
struct Measured {
  std::unordered_map<uint64_t, uint32_t> index;  // by stable id
  std::map<uint32_t, Quarantine::Record> records;
  std::vector<uint16_t> cer, visits;

  static Measured of(const LoadedCheckpoint& checkpoint) {
    const State& state = checkpoint.state;
    if (!state.arrays.contains("sampler.quarantine.utterance"))
      throw ConfigError(
          checkpoint.path.string(),
          ": expected a run whose sampler measures utterances; found one that does not, or a checkpoint of"
          " curriculum.type: uniform from before it did; go on with that run for a pass first");
    Measured measured;
    Quarantine quarantine({}, {}, {});
    quarantine.load(state, "sampler.quarantine", "cer");
    measured.records = quarantine.records();
    measured.cer = state.array<uint16_t>("sampler.table.cer");
    measured.visits = state.array<uint16_t>("sampler.table.visits");
    const auto ids = state.array<uint64_t>("sampler.ids");
    for (const uint64_t id : ids) measured.index.emplace(id, static_cast<uint32_t>(measured.index.size()));
    const bool is_sound = measured.cer.size() == ids.size() && measured.visits.size() == ids.size() &&
                          (measured.records.empty() || measured.records.rbegin()->first < ids.size());
    if (!is_sound)
      throw DataError(checkpoint.path.string(), ": expected the sampler's arrays to be about ", ids.size(),
                      " utterances; found others; the checkpoint is damaged");
    return measured;
  }
};

// A cut-off that is wrong for a way of speaking shows as speakers who are set aside far more than their domain.
std::vector<SetAsideShare> conspicuous(const std::map<std::pair<std::string, std::string>, SetAsideShare>& speakers,
                                       const std::map<std::string, SetAsideShare>& domains) {
  constexpr uint64_t kLeast = 3, kMostSpeakers = 10;
  const auto share_of = [](const SetAsideShare& one) {
    return static_cast<double>(one.wrong_texts) / static_cast<double>(one.utterances);
  };
  std::vector<SetAsideShare> found;
  for (const auto& [name, one] : speakers)
    if (!one.speaker.empty() && one.wrong_texts >= kLeast && share_of(one) > 2 * share_of(domains.at(one.domain)))
      found.push_back(one);
  std::ranges::stable_sort(found, [&](const auto& a, const auto& b) { return share_of(a) > share_of(b); });
  if (found.size() > kMostSpeakers) found.resize(kMostSpeakers);
  return found;
}

void read_goodness(const State& state, std::map<std::string, SetAsideShare>& domains) {
  read_saved("sampler", [&] {
    const nlohmann::json& own = state.values.at("sampler");
    const nlohmann::json& sampler = own.contains("memory") ? own.at("memory") : own;  // of one that draws otherwise
    for (size_t d = 0; d < sampler.at("domain_names").size(); ++d) {
      const auto found = domains.find(sampler["domain_names"][d].get<std::string>());
      if (found != domains.end())
        found->second.is_good = sampler.at("domains").at(d).at("controller").at("is_good").get<bool>();
    }
  });
}

// The end of the path tells files apart; segments of one file differ in their offset.
std::string short_name(const Utterance& utterance) {
  constexpr size_t kWidth = 32;
  const fs::path path = utterance.audio_path;
  std::string name = (path.parent_path().filename() / path.filename()).string();
  if (utterance.offset_s > 0) name += concat(" @", format_duration(utterance.offset_s));
  name = printable(name);
  if (display_width(name) <= kWidth) return name;
  const auto is_continuation = [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; };
  while (display_width(name) >= kWidth)
    name.erase(name.begin(), std::find_if_not(name.begin() + 1, name.end(), is_continuation));
  return "…" + name;
}

// Why training could not read it, as it is today.
std::string reading_problem(const Utterance& utterance) {
  constexpr int kRateHz = 16000;
  try {
    read_audio(AudioReaders(), utterance, kRateHz);
    return "it can be read now";
  } catch (const DataError& failure) {
    return failure.what();
  }
}

std::string share_table(const std::vector<SetAsideShare>& shares, const QuarantineList& list,
                        const std::string& title) {
  TextTable table(
      {{title, TextTable::kLeft}, {"utterances"}, {"wrong text"}, {"share"}, {"unreadable"}, {"", TextTable::kLeft}});
  for (const SetAsideShare& one : shares) {
    const auto most = static_cast<uint64_t>(list.max_share * static_cast<double>(one.utterances));
    std::string note;
    if (!one.is_good)
      note = concat("too hard to judge texts: its median CER is above ", std::lround(100 * list.good_median), " %");
    else if (most > 0 && one.wrong_texts >= most && one.speaker.empty())
      note = concat("no more than ", std::lround(100 * list.max_share), " % is set aside: hard, rather than wrong");
    table.add_row({printable(one.speaker.empty() ? one.domain : one.domain + " / " + one.speaker),
                   std::to_string(one.utterances), std::to_string(one.wrong_texts),
                   format_percent(static_cast<double>(one.wrong_texts) / static_cast<double>(one.utterances)),
                   std::to_string(one.bad_files), note});
  }
  return table.text();
}

std::string utterance_table(const QuarantineList& list, size_t most, size_t width) {
  constexpr size_t kLeastText = 20, kGap = 2;
  std::vector<std::vector<std::string>> rows = {{"CER", "cut", "since step", "visits", "domain", "file"}};
  for (const SetAside& one : list.utterances) {
    if (rows.size() > most) break;
    rows.push_back({one.is_bad_file ? "unreadable" : format_percent(one.cer),
                    one.is_bad_file ? "-" : format_percent(one.cut), std::to_string(one.step),
                    std::to_string(one.visits), printable(one.utterance.domain), short_name(one.utterance)});
  }
  size_t taken = 0;
  for (size_t column = 0; column < rows[0].size(); ++column) {
    size_t widest = 0;
    for (const auto& row : rows) widest = std::max(widest, display_width(row[column]));
    taken += widest + kGap;
  }
  const size_t text_width = std::max(kLeastText, width > taken ? width - taken : 0);
  std::vector<TextTable::Column> columns;
  for (size_t column = 0; column < rows[0].size(); ++column)
    columns.push_back({rows[0][column], column < 4 ? TextTable::kRight : TextTable::kLeft});
  columns.push_back({"text or reason", TextTable::kLeft});
  TextTable table(columns);
  for (size_t i = 1; i < rows.size(); ++i) {
    const SetAside& one = list.utterances[i - 1];
    // A reason begins with the path, of which the end stands in its own column.
    const size_t path = one.reason.starts_with(one.utterance.audio_path) ? one.utterance.audio_path.size() + 2 : 0;
    const std::string said =
        one.is_bad_file ? one.reason.substr(std::min(path, one.reason.size())) : one.utterance.text;
    rows[i].push_back(fit_width(printable(said), text_width));
    table.add_row(rows[i]);
  }
  return table.text();
}

// Looks every utterance up that the run knows; a line that comes twice counts once.
class Collector {
 public:
  explicit Collector(const LoadedCheckpoint& checkpoint) : measured_(Measured::of(checkpoint)) {}

  void add(Utterance&& utterance, const std::string& line) {
    const auto known = measured_.index.find(utterance.id);
    if (known == measured_.index.end()) return;
    const uint32_t i = known->second;
    measured_.index.erase(known);
    SetAsideShare& domain = domains_[utterance.domain];
    SetAsideShare& speaker = speakers_[{utterance.domain, utterance.speaker}];
    domain.domain = speaker.domain = utterance.domain;
    speaker.speaker = utterance.speaker;
    const auto found = measured_.records.find(i);
    for (SetAsideShare* share : {&domain, &speaker}) {
      ++share->utterances;
      if (found != measured_.records.end()) ++(found->second.is_bad_file ? share->bad_files : share->wrong_texts);
    }
    if (found == measured_.records.end()) return;
    const Quarantine::Record& record = found->second;
    std::string reason = record.is_bad_file ? reading_problem(utterance) : "";
    list_.utterances.push_back({std::move(utterance), line, record.is_bad_file, std::move(reason),
                                measured_.cer[i] / kFullCer, record.cut, record.step, measured_.visits[i]});
  }

  QuarantineList finish(const State& state) {
    list_.unknown = measured_.records.size() - list_.utterances.size();
    std::ranges::stable_sort(list_.utterances, [](const SetAside& a, const SetAside& b) {
      return std::tuple(!a.is_bad_file, a.cer) > std::tuple(!b.is_bad_file, b.cer);
    });
    read_goodness(state, domains_);
    for (const auto& [name, domain] : domains_) list_.domains.push_back(domain);
    list_.speakers = conspicuous(speakers_, domains_);
    return std::move(list_);
  }

 private:
  Measured measured_;
  std::map<std::string, SetAsideShare> domains_;
  std::map<std::pair<std::string, std::string>, SetAsideShare> speakers_;
  QuarantineList list_;
};

}  // namespace

QuarantineList quarantine_of(const LoadedCheckpoint& checkpoint, std::vector<std::string> manifests) {
  const auto written = checkpoint.files.find("config.yaml");
  Config config = Config::parse(written == checkpoint.files.end() ? "{}" : written->second, "config.yaml");
  if (const std::string task = config.root().child("task").text("type", kFirstTask); task != kFirstTask)
    throw ConfigError("quarantine: expected a checkpoint of speech; found one of task ", task,
                      "; see the verbs of that task in rehearse --help");
  Collector collector(checkpoint);
  const bool is_own = manifests.empty();
  if (is_own) manifests = training_manifests(checkpoint);
  for (const std::string& manifest : manifests) {
    std::error_code absent;
    if (is_own && !fs::exists(manifest, absent))
      throw DataError(manifest, ": expected a manifest that the run was trained on; found none, seen from ",
                      fs::current_path().string(), "; name the manifests with --manifest");
    scan_manifest(manifest,
                  [&](Utterance&& utterance, const std::string& line) { collector.add(std::move(utterance), line); });
  }
  QuarantineList list = collector.finish(checkpoint.state);
  ConfigNode curriculum = config.root().child("curriculum");
  const SamplerOptions options = SamplerOptions::from(curriculum);
  list.good_median = options.good_median;
  list.max_share = options.quarantine_share;
  if (list.domains.empty())
    throw DataError(checkpoint.path.string(), ": expected the utterances that it was trained on; found none of them in",
                    " the manifests; name others with --manifest");
  return list;
}

std::string quarantine_text(const QuarantineList& list, size_t most, size_t width) {
  std::string text = share_table(list.domains, list, "domain");
  if (!list.speakers.empty())
    text += "\nset aside far more often than their domain; listen whether it is the texts or the speech\n\n" +
            share_table(list.speakers, list, "speaker");
  if (list.utterances.empty()) return text;
  text += "\n" + utterance_table(list, most, width);
  if (list.utterances.size() > most)
    text += concat("… ", list.utterances.size() - most, " more; --most shows, --out writes them\n");
  return text;
}

std::string quarantine_manifest(const QuarantineList& list) {
  std::string text;
  for (const SetAside& one : list.utterances) {
    if (one.is_bad_file) continue;
    auto fields = nlohmann::ordered_json::parse(one.line);
    fields["audio_filepath"] = fs::absolute(one.utterance.audio_path).lexically_normal().string();
    fields["quarantine"] = {{"cer", one.cer}, {"cut", one.cut}, {"step", one.step}, {"visits", one.visits}};
    text += fields.dump() + "\n";
  }
  return text;
}

}  // namespace rehearse
