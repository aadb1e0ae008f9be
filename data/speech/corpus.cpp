#include "data/speech/corpus.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <span>
#include <tuple>

#include "data/speech/audio/audio_reader.h"
#include "data/speech/missing_audio.h"
#include "trainer/base/error.h"
#include "trainer/base/files.h"

namespace rehearse {

namespace {

// Turns utterances into items, or says why not.
class Admission {
 public:
  Admission(const Normalizer& normalizer, const Tokenizer& tokenizer, const Corpus::Options& options,
            const FrameNeeds& frames)
      : normalizer_(normalizer), tokenizer_(tokenizer), options_(options), frames_(frames) {}

  // Fills item.reference and item.tokens. The reason of a rejection; empty: admitted.
  std::string admit(Corpus::Item& item, int& num_unknown) const {
    const double duration_s = item.utterance.duration_s;
    if (duration_s > options_.max_duration_s) return "too long";
    if (!(duration_s >= options_.min_duration_s)) return "too short";
    try {
      item.reference = normalizer_(item.utterance.text, item.utterance.lang);
    } catch (const DataError& error) {
      return concat("unreadable: ", error.what());
    }
    if (item.reference.empty() && options_.drop_textless) return "empty text";
    item.tokens = tokenizer_.encode(item.reference, &num_unknown);
    if (item.tokens.empty() && options_.drop_textless) return "no known character";
    if (options_.drop_infeasible && frames_.there) {
      const int64_t needed = frames_.needed(item.tokens), there = frames_.there(duration_s);
      if (needed > there) return concat("infeasible: ", needed, " frames needed, ", there, " there");
    }
    return "";
  }

 private:
  const Normalizer& normalizer_;
  const Tokenizer& tokenizer_;
  const Corpus::Options& options_;
  const FrameNeeds& frames_;
};

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%", 100 * share);
  return text;
}

void expect_few_rejections(const std::vector<Rejection>& rejections,
                           const std::map<std::string, int64_t>& num_utterances, double max_share) {
  std::map<std::string, std::vector<const Rejection*>> by_domain;
  for (const Rejection& rejection : rejections) by_domain[rejection.domain].push_back(&rejection);
  for (const auto& [domain, rejected] : by_domain) {
    const auto total = static_cast<double>(num_utterances.at(domain));
    const double share = static_cast<double>(rejected.size()) / total;
    if (share <= max_share) continue;
    std::map<std::string, std::vector<const Rejection*>> by_kind;
    for (const Rejection* rejection : rejected)
      by_kind[rejection->reason.substr(0, rejection->reason.find(':'))].push_back(rejection);
    const auto commonest = std::max_element(
        by_kind.begin(), by_kind.end(), [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
    const Rejection& example = *commonest->second.front();
    throw DataError("domain \"", domain, "\": expected at most ", percent(max_share), " unusable utterances; found ",
                    percent(share), " (", rejected.size(), " of ", num_utterances.at(domain), "), most of them ",
                    commonest->first, " (", commonest->second.size(), ", e.g. \"", example.name, "\": ", example.reason,
                    "); list them with `rehearse doctor`, or raise data.max_rejected_share");
  }
}

}  // namespace

Corpus::Corpus(std::vector<Utterance> utterances, const Normalizer& normalizer, const Tokenizer& tokenizer,
               const Options& options, const FrameNeeds& frames) {
  expect_unique_ids(utterances);
  std::sort(utterances.begin(), utterances.end(),
            [](const Utterance& a, const Utterance& b) { return std::tie(a.domain, a.id) < std::tie(b.domain, b.id); });
  const Admission admission(normalizer, tokenizer, options, frames);
  std::map<std::string, int64_t> num_utterances;
  for (Utterance& utterance : utterances) {
    ++num_utterances[utterance.domain];
    Item item;
    item.utterance = std::move(utterance);
    int num_unknown = 0;
    const std::string reason = admission.admit(item, num_unknown);
    const std::string& domain = item.utterance.domain;
    text_losses_.add_source(domain, item.utterance.text);
    text_losses_.add_unknown(domain, item.reference, num_unknown, tokenizer);
    if (!reason.empty()) {
      rejections_.push_back({item.utterance.audio_path, item.utterance.domain, reason});
      continue;
    }
    if (domains_.empty() || domains_.back() != item.utterance.domain) domains_.push_back(item.utterance.domain);
    item.domain = static_cast<uint32_t>(domains_.size() - 1);
    items_.push_back(std::move(item));
  }
  expect_few_rejections(rejections_, num_utterances, options.max_rejected_share);
}

double Corpus::total_seconds() const {
  double sum = 0;
  for (const Item& item : items_) sum += item.utterance.duration_s;
  return sum;
}

Dataset Corpus::dataset() const {
  Dataset dataset;
  for (const Item& item : items_) {
    dataset.ids.push_back(item.utterance.id);
    dataset.domain.push_back(item.domain);
    dataset.cost.push_back(static_cast<float>(item.utterance.duration_s));
    dataset.costs.push_back(item.utterance.duration_s);
  }
  dataset.domains = domains_;
  dataset.rejections = rejections_;
  dataset.total_cost = total_seconds();
  dataset.name_of = [this](uint32_t index) { return items_[index].utterance.audio_path; };
  dataset.hash = [this] { return hash(); };
  return dataset;
}

std::string Corpus::hash() const {
  // A chain over pieces of bounded size: hash of (previous hash, next utterances).
  constexpr size_t kPieceBytes = 1 << 20;
  std::string piece, digest = "rehearse-corpus 1";
  const auto fold = [&] {
    piece.insert(0, digest);
    digest = sha256_of(std::as_bytes(std::span(piece)));
    piece.clear();
  };
  const auto append = [&](const auto& value) { piece.append(reinterpret_cast<const char*>(&value), sizeof value); };
  for (const Item& item : items_) {
    append(item.utterance.id);
    append(item.utterance.duration_s);
    append(static_cast<uint64_t>(item.reference.size()));
    piece += item.reference;
    if (piece.size() >= kPieceBytes) fold();
  }
  fold();
  return digest;
}

std::vector<float> read_audio(const AudioReaders& readers, const Utterance& utterance, int sample_rate_hz) {
  std::vector<float> samples = readers.read(utterance.audio_path, utterance.offset_s, utterance.duration_s,
                                            sample_rate_hz, utterance.channel.value_or(kAllChannels));
  expect_no_missing(utterance.audio_path, utterance.duration_s, static_cast<double>(samples.size()) / sample_rate_hz);
  return samples;
}

}  // namespace rehearse
