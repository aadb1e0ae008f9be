#include "data/speech/import/repetitions.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "trainer/base/error.h"
#include "trainer/base/text/printable.h"

namespace rehearse {
namespace {

using PieceOfAudio = std::tuple<std::string, long long, long long, int>;

PieceOfAudio piece_of(const Utterance& utterance) {
  const auto microseconds = [](double seconds) { return std::llround(seconds * 1e6); };
  return {fs::path(utterance.audio_path).lexically_normal().string(), microseconds(utterance.offset_s),
          microseconds(utterance.duration_s), utterance.channel.value_or(-1)};
}

// Empty: both say the same.
std::string difference_of(const ImportedUtterance& first, const ImportedUtterance& other) {
  const auto differ = [&](const char* field, const std::string& a, const std::string& b) {
    return concat("repeats ", first.origin, " with another ", field, ": ", quoted(a), " there, ", quoted(b), " here");
  };
  const Utterance &a = first.utterance, &b = other.utterance;
  if (a.text != b.text) return differ("text", a.text, b.text);
  if (!a.domain.empty() && !b.domain.empty() && a.domain != b.domain) return differ("domain", a.domain, b.domain);
  return "";
}

// True when that was a repetition, not a row of another table.
bool join(ImportedUtterance& first, ImportedUtterance& other) {
  bool is_repetition = false;
  for (std::string& subset : other.subsets) {
    if (std::find(first.subsets.begin(), first.subsets.end(), subset) == first.subsets.end())
      first.subsets.push_back(std::move(subset));
    else
      is_repetition = true;
  }
  if (first.utterance.domain.empty()) first.utterance.domain = other.utterance.domain;
  if (first.name.empty()) first.name = other.name;
  return is_repetition;
}

}  // namespace

void merge_repetitions(ImportedCorpus& corpus) {
  std::map<PieceOfAudio, std::vector<size_t>> kept_of;  // indices into kept
  std::vector<ImportedUtterance> kept;
  size_t num_repetitions = 0;
  for (ImportedUtterance& item : corpus.items) {
    std::vector<size_t>& same = kept_of[piece_of(item.utterance)];
    const auto first = std::find_if(same.begin(), same.end(), [&](size_t i) {
      return kept[i].name.empty() || item.name.empty() || kept[i].name == item.name;
    });
    if (first == same.end()) {
      same.push_back(kept.size());
      kept.push_back(std::move(item));
      continue;
    }
    const std::string difference = difference_of(kept[*first], item);
    if (!difference.empty())
      corpus.rejected.push_back({item.origin, difference});
    else
      num_repetitions += join(kept[*first], item) ? 1 : 0;
  }
  corpus.items = std::move(kept);
  if (num_repetitions > 0) corpus.notes["lines repeat an earlier one word for word and were merged"] += num_repetitions;
}

void fill_domains(ImportedCorpus& corpus) {
  for (ImportedUtterance& item : corpus.items)
    if (item.utterance.domain.empty()) item.utterance.domain = item.subsets.at(0);
}

void set_ids(ImportedCorpus& corpus, const fs::path& root) {
  const auto id_from = [](const Utterance& utterance, const std::string& file) {
    return stable_utterance_id(utterance.domain, file, utterance.offset_s, utterance.duration_s, utterance.channel);
  };
  std::unordered_map<uint64_t, size_t> uses;
  for (auto& [utterance, subsets, origin, name] : corpus.items) {
    utterance.id = name.empty() ? id_from(utterance, fs::path(utterance.audio_path).filename().string())
                                : stable_utterance_id(utterance.domain, name, 0, 0);
    ++uses[utterance.id];
  }
  std::unordered_map<uint64_t, std::string> origin_of;
  std::vector<ImportedUtterance> unique;
  for (ImportedUtterance& item : corpus.items) {
    Utterance& utterance = item.utterance;
    if (uses[utterance.id] > 1) {
      const std::string path = fs::path(utterance.audio_path).lexically_relative(root).string();
      utterance.id = id_from(utterance, path.empty() ? utterance.audio_path : path);
    }
    const auto [first, is_new] = origin_of.emplace(utterance.id, item.origin);
    if (is_new)
      unique.push_back(std::move(item));
    else
      corpus.rejected.push_back(
          {item.origin, concat("repeats ", first->second, ": the same file, offset and duration")});
  }
  corpus.items = std::move(unique);
}

}  // namespace rehearse
