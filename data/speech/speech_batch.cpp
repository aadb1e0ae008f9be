#include "data/speech/speech_batch.h"

#include <algorithm>
#include <mutex>

#include "data/speech/audio/sound_file.h"
#include "trainer/base/error.h"

namespace rehearse {

namespace {

constexpr double kFailedClip_s = 0.1;

using Pcm = std::vector<int16_t>;

void pad(SpeechBatch& batch, const std::vector<std::vector<float>>& clips) {
  for (const std::vector<float>& clip : clips) {
    batch.num_samples.push_back(static_cast<int64_t>(clip.size()));
    batch.max_samples = std::max(batch.max_samples, batch.num_samples.back());
  }
  const auto row = static_cast<size_t>(batch.max_samples);
  batch.samples.assign(clips.size() * row, 0.0f);
  for (size_t i = 0; i < clips.size(); ++i)
    std::copy(clips[i].begin(), clips[i].end(), batch.samples.begin() + static_cast<std::ptrdiff_t>(i * row));
}

double seconds_of(const SpeechBatch& batch) {
  double seconds = 0;
  for (const int64_t samples : batch.num_samples) seconds += static_cast<double>(samples) / batch.sample_rate_hz;
  return seconds;
}

}  // namespace

std::string SpeechBatch::size_text() const {
  const double longest_s = static_cast<double>(max_samples) / sample_rate_hz;
  return concat(num_samples.size(), " utterances, longest ", longest_s, " s, ", seconds_of(*this), " s of audio (",
                static_cast<double>(num_samples.size()) * longest_s, " s padded)");
}

std::vector<Batch::Measure> SpeechBatch::measures() const {
  return {{"longest_s", static_cast<double>(max_samples) / sample_rate_hz}, {"seconds", seconds_of(*this)}};
}

// Filled until full. Thread-safe.
class SpeechLoading::Cache {
 public:
  Cache(size_t num_utterances, int64_t most_bytes)
      : clips_(most_bytes > 0 ? num_utterances : 0), free_bytes_(most_bytes) {}

  std::shared_ptr<const Pcm> find(uint32_t utterance) const {
    if (clips_.empty()) return nullptr;
    const std::lock_guard lock(mutex_);
    return clips_[utterance];
  }

  void offer(uint32_t utterance, const std::shared_ptr<const Pcm>& clip) {
    if (clips_.empty()) return;
    const auto bytes = static_cast<int64_t>(clip->size() * sizeof(int16_t));
    const std::lock_guard lock(mutex_);
    if (clips_[utterance] || bytes > free_bytes_) return;
    clips_[utterance] = clip;
    free_bytes_ -= bytes;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<const Pcm>> clips_;
  int64_t free_bytes_;
};

SpeechLoading::Options SpeechLoading::Options::from(ConfigNode& loader) {
  Options options;
  options.cache_bytes = loader.integer("cache_mb", options.cache_bytes >> 20, {0, 1 << 24}) << 20;
  return options;
}

SpeechLoading::SpeechLoading(const Options& options, const Corpus& corpus, const AudioReaders& readers,
                             const std::vector<std::unique_ptr<Augmentation>>& augmentations, uint64_t seed)
    : options_(options),
      corpus_(corpus),
      readers_(readers),
      augmentations_(augmentations),
      augment_key_(RandomKey(seed).with("augment")),
      cache_(std::make_unique<Cache>(corpus.items().size(), options.cache_bytes)) {}

SpeechLoading::~SpeechLoading() = default;

std::unique_ptr<SpeechBatch> SpeechLoading::load(const MicroBatch& plan, const std::stop_token& stop) const {
  auto batch = std::make_unique<SpeechBatch>();
  load_into(*batch, plan, stop);
  return batch;
}

void SpeechLoading::load_into(SpeechBatch& batch, const MicroBatch& plan, const std::stop_token& stop) const {
  batch.corpus = &corpus_;
  batch.sample_rate_hz = options_.sample_rate_hz;
  batch.draws = plan.draws;
  batch.positions = plan.positions;
  std::vector<std::vector<float>> clips;
  for (const Draw& draw : plan.draws) {
    if (stop.stop_requested()) return;
    clips.push_back(add_utterance(batch, draw));
  }
  pad(batch, clips);
  batch.is_cacheable = augmentations_.empty();
}

std::vector<float> SpeechLoading::add_utterance(SpeechBatch& batch, const Draw& draw) const {
  const Corpus::Item& item = corpus_.items().at(draw.utterance);
  std::vector<float> samples;
  std::string failure;
  const size_t row = batch.ids.size();
  try {
    samples = from_int16(*decoded(draw.utterance, item.utterance));
    batch.num_decoded.push_back(static_cast<int64_t>(samples.size()));
    const RandomKey key = augment_key_.with(item.utterance.id).with(draw.visit);
    for (size_t i = 0; i < augmentations_.size(); ++i) augmentations_[i]->apply(samples, key.with(i));
  } catch (const DataError& error) {
    failure = error.what();
    samples.assign(static_cast<size_t>(kFailedClip_s * options_.sample_rate_hz), 0.0f);
    batch.num_decoded.resize(row);
    batch.num_decoded.push_back(static_cast<int64_t>(samples.size()));
  }
  const bool is_failed = !failure.empty();
  batch.ids.push_back(item.utterance.id);
  batch.tokens.push_back(is_failed ? std::vector<int32_t>() : item.tokens);
  batch.weights.push_back(is_failed || !draw.is_learned ? 0.0f : 1.0f);
  batch.failures.push_back(std::move(failure));
  return samples;
}

// Through int16 even without a cache, so that what is heard does not depend on the cache.
std::shared_ptr<const Pcm> SpeechLoading::decoded(uint32_t index, const Utterance& utterance) const {
  if (auto clip = cache_->find(index)) return clip;
  auto clip = std::make_shared<const Pcm>(to_int16(read_audio(readers_, utterance, options_.sample_rate_hz)));
  cache_->offer(index, clip);
  return clip;
}

}  // namespace rehearse
