#include "data/speech/overlap.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "data/speech/audio/audio_reader.h"
#include "trainer/base/error.h"
#include "trainer/base/random.h"
#include "trainer/base/text/printable.h"

namespace rehearse {
namespace {

using Items = std::vector<const Corpus::Item*>;

constexpr size_t kShown = 3;
constexpr int kRateHz = 16000;
constexpr double kCompared_s = 1;
constexpr double kStep_s = 0.1;
constexpr double kGrid = 32768;

uint64_t milliseconds(double duration_s) {
  return static_cast<uint64_t>(std::llround(1000 * duration_s));
}

// Which validation utterances have been found, and by what.
class Finds {
 public:
  Finds(const Items& valid, SetOverlap::Kind& kind) : valid_(valid), kind_(kind), is_found_(valid.size(), false) {}
  bool contains(size_t v) const { return is_found_[v]; }
  void add(size_t v, const Corpus::Item& train) {
    if (is_found_[v]) return;
    is_found_[v] = true;
    ++kind_.count;
    if (kind_.first.size() < kShown)
      kind_.first.emplace_back(valid_[v]->utterance.audio_path, train.utterance.audio_path);
  }

 private:
  const Items& valid_;
  SetOverlap::Kind& kind_;
  std::vector<bool> is_found_;
};

// The audio of utterances that may be copies: one second from the middle, where few are silent.
class AudioDigests {
 public:
  AudioDigests(const AudioReaders& readers, size_t most_reads) : readers_(readers), left_(most_reads) {}

  // Empty: cannot be read, silent, or no more reads are left.
  std::optional<uint64_t> of(const Corpus::Item& item) {
    if (left_ == 0) {
      ++num_left_out_;
      return std::nullopt;
    }
    --left_;
    return computed(item.utterance);
  }
  uint64_t num_left_out() const { return num_left_out_; }

 private:
  std::optional<uint64_t> computed(const Utterance& utterance) const {
    // In whole steps, so that a duration rounded to milliseconds gives the same stretch.
    Utterance middle = utterance;
    middle.duration_s = std::min(kCompared_s, whole_steps(utterance.duration_s));
    if (middle.duration_s <= 0) return std::nullopt;
    middle.offset_s += whole_steps((utterance.duration_s - middle.duration_s) / 2);
    try {
      return digest_of(read_audio(readers_, middle, kRateHz));
    } catch (const DataError&) {  // said where the corpus is checked
      return std::nullopt;
    }
  }

  // Down to a boundary that no duration in whole milliseconds is near.
  static double whole_steps(double time_s) {
    constexpr double kBesideMilliseconds_s = 0.0037;
    return kStep_s * std::max(0.0, std::floor((time_s - kBesideMilliseconds_s) / kStep_s));
  }

  // On the grid of 16 bits, as packs store it.
  static std::optional<uint64_t> digest_of(const std::vector<float>& samples) {
    uint64_t digest = mix64(samples.size());
    bool is_silent = true;
    for (const float sample : samples) {
      const auto value = static_cast<int64_t>(std::nearbyint(static_cast<double>(sample) * kGrid));
      is_silent = is_silent && value == 0;
      digest = mix64(digest ^ static_cast<uint64_t>(value));
    }
    return is_silent ? std::nullopt : std::optional(digest);
  }

  const AudioReaders& readers_;
  size_t left_;
  uint64_t num_left_out_ = 0;
};

void find_ids(const Items& train, const Items& valid, SetOverlap::Kind& kind) {
  std::unordered_multimap<uint64_t, size_t> by_id;
  for (size_t v = 0; v < valid.size(); ++v) by_id.emplace(valid[v]->utterance.id, v);
  Finds finds(valid, kind);
  for (const Corpus::Item* item : train)
    for (auto [at, end] = by_id.equal_range(item->utterance.id); at != end; ++at) finds.add(at->second, *item);
}

void find_sentences(const Items& train, const Items& valid, SetOverlap::Kind& kind) {
  const auto key = [](const Corpus::Item& item) { return item.utterance.speaker + '\n' + item.reference; };
  const auto is_named = [](const Corpus::Item& item) {
    return !item.utterance.speaker.empty() && !item.reference.empty();
  };
  std::unordered_multimap<std::string, size_t> by_sentence;
  for (size_t v = 0; v < valid.size(); ++v)
    if (is_named(*valid[v])) by_sentence.emplace(key(*valid[v]), v);
  Finds finds(valid, kind);
  if (by_sentence.empty()) return;
  for (const Corpus::Item* item : train) {
    if (!is_named(*item)) continue;
    for (auto [at, end] = by_sentence.equal_range(key(*item)); at != end; ++at) finds.add(at->second, *item);
  }
}

// At least half of the shorter one.
bool is_same_stretch(const Utterance& a, const Utterance& b) {
  const double both = std::min(a.offset_s + a.duration_s, b.offset_s + b.duration_s) - std::max(a.offset_s, b.offset_s);
  return 2 * both >= std::min(a.duration_s, b.duration_s);
}

// Channels of one file are different speech.
std::string place_of(const Utterance& utterance) {
  return concat(std::filesystem::path(utterance.audio_path).lexically_normal().string(), "\n",
                utterance.channel.value_or(-1));
}

void find_stretches(const Items& train, const Items& valid, Finds& finds) {
  struct Parts {
    std::multimap<double, size_t> by_offset;
    double longest_s = 0;
  };
  std::unordered_map<std::string, Parts> files;
  for (size_t v = 0; v < valid.size(); ++v) {
    const Utterance& utterance = valid[v]->utterance;
    Parts& parts = files[place_of(utterance)];
    parts.by_offset.emplace(utterance.offset_s, v);
    parts.longest_s = std::max(parts.longest_s, utterance.duration_s);
  }
  for (const Corpus::Item* item : train) {
    const auto file = files.find(place_of(item->utterance));
    if (file == files.end()) continue;
    const double begin = item->utterance.offset_s, end = begin + item->utterance.duration_s;
    auto at = file->second.by_offset.lower_bound(begin - file->second.longest_s);
    for (; at != file->second.by_offset.end() && at->first < end; ++at)
      if (is_same_stretch(item->utterance, valid[at->second]->utterance)) finds.add(at->second, *item);
  }
}

// One may be rounded to milliseconds and the other cut off.
bool has_length(const std::unordered_set<uint64_t>& lengths, const Corpus::Item& item) {
  const uint64_t length = milliseconds(item.utterance.duration_s);
  return lengths.contains(length) || lengths.contains(length + 1) || (length > 0 && lengths.contains(length - 1));
}

std::unordered_set<uint64_t> lengths_of(const Items& items) {
  std::unordered_set<uint64_t> lengths;
  for (const Corpus::Item* item : items) lengths.insert(milliseconds(item->utterance.duration_s));
  return lengths;
}

// Every utterance is looked at once, however many have one length.
void find_copies(const Items& train, const Items& valid, AudioDigests& digests, Finds& finds) {
  const std::unordered_set<uint64_t> train_lengths = lengths_of(train), valid_lengths = lengths_of(valid);
  std::unordered_multimap<uint64_t, size_t> by_digest;
  for (size_t v = 0; v < valid.size(); ++v)
    if (!finds.contains(v) && has_length(train_lengths, *valid[v]))
      if (const auto digest = digests.of(*valid[v])) by_digest.emplace(*digest, v);
  if (by_digest.empty()) return;
  for (const Corpus::Item* item : train) {
    if (!has_length(valid_lengths, *item)) continue;
    const auto digest = digests.of(*item);
    if (!digest) continue;
    for (auto [at, end] = by_digest.equal_range(*digest); at != end; ++at)
      if (milliseconds(std::abs(item->utterance.duration_s - valid[at->second]->utterance.duration_s)) <= 1)
        finds.add(at->second, *item);
  }
}

std::string kind_text(const SetOverlap::Kind& kind, const std::string& what) {
  std::string text = concat(kind.count, " ", what);
  for (size_t i = 0; i < kind.first.size(); ++i)
    text += concat(i == 0 ? " (" : ", ", rehearse::quoted(kind.first[i].first), " is ",
                   rehearse::quoted(kind.first[i].second));
  return text + (kind.first.empty() ? "" : kind.count > kind.first.size() ? " …)" : ")");
}

}  // namespace

std::string SetOverlap::text() const {
  std::string text = concat("validation against training: of ", utterances, " utterances ",
                            kind_text(by_id, "have the id of a training utterance"), ", ",
                            kind_text(by_audio, "its audio"), ", ", kind_text(by_sentence, "its sentence and speaker"));
  if (not_compared > 0) text += concat("; ", not_compared, " files of equal lengths were not listened to");
  if (is_found()) text += "; the validation CER will look better than it is";
  return text;
}

nlohmann::json SetOverlap::to_json() const {
  const auto kind = [](const Kind& one) {
    nlohmann::json first = nlohmann::json::array();
    for (const auto& [valid, train] : one.first) first.push_back({valid, train});
    return nlohmann::json{{"count", one.count}, {"first", first}};
  };
  return {{"utterances", utterances},
          {"id", kind(by_id)},
          {"audio", kind(by_audio)},
          {"sentence_and_speaker", kind(by_sentence)},
          {"not_compared", not_compared}};
}

Items items_of(const Corpus& corpus) {
  Items items;
  for (const Corpus::Item& item : corpus.items()) items.push_back(&item);
  return items;
}

SetOverlap find_overlap(const Items& train, const Items& valid, const AudioReaders& readers, size_t most_reads) {
  SetOverlap overlap;
  overlap.utterances = valid.size();
  find_ids(train, valid, overlap.by_id);
  find_sentences(train, valid, overlap.by_sentence);
  Finds heard(valid, overlap.by_audio);
  find_stretches(train, valid, heard);
  AudioDigests digests(readers, most_reads);
  find_copies(train, valid, digests, heard);
  overlap.not_compared = digests.num_left_out();
  return overlap;
}

}  // namespace rehearse
