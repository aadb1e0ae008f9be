#include "data/loader/loader.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <stop_token>
#include <thread>

#include "data/speech/audio/sound_file.h"
#include "trainer/base/error.h"

namespace rehearse {

namespace {

// Decoded micro-batches that wait for next(), at most: bounds memory, not throughput.
constexpr size_t kMostAhead = 16;
constexpr double kFailedClip_s = 0.1;

using Pcm = std::vector<int16_t>;

// Filled until full. Thread-safe.
class PcmCache {
 public:
  PcmCache(size_t num_utterances, int64_t most_bytes) : clips_(num_utterances), free_bytes_(most_bytes) {}

  std::shared_ptr<const Pcm> find(uint32_t utterance) const {
    const std::lock_guard lock(mutex_);
    return clips_[utterance];
  }

  void offer(uint32_t utterance, const std::shared_ptr<const Pcm>& clip) {
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

// One micro-batch on its way. The worker that took it alone touches `result` until `is_ready`, which the mutex guards.
struct Work {
  uint64_t step = 0;
  int micro_batch = 0;
  MicroBatch plan;
  LoadedBatch result;
  std::exception_ptr bug;
  bool is_ready = false;
};

}  // namespace

struct Loader::Workers {
  Workers(const Options& options, const Corpus& corpus, const AudioReaders& readers,
          const std::vector<std::unique_ptr<Augmentation>>& augmentations, uint64_t seed)
      : options(options),
        corpus(corpus),
        readers(readers),
        augmentations(augmentations),
        augment_key(RandomKey(seed).with("augment")),
        cache(corpus.items().size(), options.cache_bytes) {
    for (int i = 0; i < options.threads; ++i) threads.emplace_back([this](std::stop_token stop) { run(stop); });
  }

  ~Workers() {
    for (std::jthread& thread : threads) thread.request_stop();
  }

  void run(std::stop_token stop) {
    while (Work* work = take(stop)) {
      try {
        load(*work, stop);
      } catch (...) {  // not a bad file: next() hands it to the caller
        work->bug = std::current_exception();
      }
      {
        const std::lock_guard lock(mutex);
        work->is_ready = true;
      }
      became_ready.notify_one();
    }
  }

  // The oldest work nobody has begun, within the bound; null: stop.
  Work* take(std::stop_token stop) {
    std::unique_lock lock(mutex);
    const auto may_begin = [this] { return num_begun < queue.size() && num_begun < kMostAhead; };
    if (!may_take.wait(lock, stop, may_begin) || stop.stop_requested()) return nullptr;
    return queue[num_begun++].get();
  }

  void load(Work& work, const std::stop_token& stop) const {
    const auto start = std::chrono::steady_clock::now();
    LoadedBatch& batch = work.result;
    batch.step = work.step;
    batch.micro_batch = work.micro_batch;
    batch.draws = work.plan.draws;
    batch.positions = work.plan.positions;
    std::vector<std::vector<float>> clips;
    for (const Draw& draw : batch.draws) {
      if (stop.stop_requested()) return;
      clips.push_back(add_utterance(batch, draw));
    }
    pad(batch, clips);
    batch.is_cacheable = augmentations.empty();
    batch.load_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  std::vector<float> add_utterance(LoadedBatch& batch, const Draw& draw) const {
    const Corpus::Item& item = corpus.items().at(draw.utterance);
    std::vector<float> samples;
    std::string failure;
    try {
      samples = from_int16(*decoded(draw.utterance, item.utterance));
      batch.num_decoded.push_back(static_cast<int64_t>(samples.size()));
      samples = augmented(std::move(samples), item.utterance.id, draw.visit);
    } catch (const DataError& error) {
      failure = error.what();
      samples.assign(static_cast<size_t>(kFailedClip_s * options.sample_rate_hz), 0.0f);
      batch.num_decoded.resize(batch.utterances.size());
      batch.num_decoded.push_back(static_cast<int64_t>(samples.size()));
    }
    const bool is_failed = !failure.empty();
    batch.utterances.push_back(draw.utterance);
    batch.ids.push_back(item.utterance.id);
    batch.tokens.push_back(is_failed ? std::vector<int32_t>() : item.tokens);
    batch.weights.push_back(is_failed || !draw.is_learned ? 0.0f : 1.0f);
    batch.failures.push_back(std::move(failure));
    return samples;
  }

  // Through int16 even without a cache, so that what is heard does not depend on the cache.
  std::shared_ptr<const Pcm> decoded(uint32_t index, const Utterance& utterance) const {
    if (auto clip = cache.find(index)) return clip;
    auto clip = std::make_shared<const Pcm>(to_int16(read_audio(readers, utterance, options.sample_rate_hz)));
    cache.offer(index, clip);
    return clip;
  }

  std::vector<float> augmented(std::vector<float> samples, uint64_t id, uint32_t visit) const {
    const RandomKey key = augment_key.with(id).with(visit);
    for (size_t i = 0; i < augmentations.size(); ++i) augmentations[i]->apply(samples, key.with(i));
    return samples;
  }

  static void pad(LoadedBatch& batch, const std::vector<std::vector<float>>& clips) {
    for (const std::vector<float>& clip : clips) {
      batch.num_samples.push_back(static_cast<int64_t>(clip.size()));
      batch.max_samples = std::max(batch.max_samples, batch.num_samples.back());
    }
    const auto row = static_cast<size_t>(batch.max_samples);
    batch.samples.assign(clips.size() * row, 0.0f);
    for (size_t i = 0; i < clips.size(); ++i)
      std::copy(clips[i].begin(), clips[i].end(), batch.samples.begin() + static_cast<std::ptrdiff_t>(i * row));
  }

  const Options options;
  const Corpus& corpus;
  const AudioReaders& readers;
  const std::vector<std::unique_ptr<Augmentation>>& augmentations;
  const RandomKey augment_key;
  mutable PcmCache cache;

  std::mutex mutex;  // guards queue, num_begun and Work::is_ready
  std::condition_variable_any may_take;
  std::condition_variable became_ready;
  std::deque<std::unique_ptr<Work>> queue;  // in push order; the first num_begun were taken by workers
  size_t num_begun = 0;
  std::vector<std::jthread> threads;  // last: joined before anything they use is destroyed
};

Loader::Options Loader::Options::from(ConfigNode& node) {
  Options options;
  options.threads = static_cast<int>(node.integer("threads", options.threads, {1, 256}));
  options.cache_bytes = node.integer("cache_mb", options.cache_bytes >> 20, {0, 1 << 24}) << 20;
  return options;
}

Loader::Loader(const Options& options, const Corpus& corpus, const AudioReaders& readers,
               const std::vector<std::unique_ptr<Augmentation>>& augmentations, uint64_t seed)
    : workers_(std::make_unique<Workers>(options, corpus, readers, augmentations, seed)) {}

Loader::~Loader() = default;

void Loader::push(uint64_t step, int micro_batch, const MicroBatch& batch) {
  auto work = std::make_unique<Work>();
  work->step = step;
  work->micro_batch = micro_batch;
  work->plan = batch;
  {
    const std::lock_guard lock(workers_->mutex);
    workers_->queue.push_back(std::move(work));
  }
  workers_->may_take.notify_one();
}

LoadedBatch Loader::next() {
  std::unique_ptr<Work> work;
  {
    std::unique_lock lock(workers_->mutex);
    REHEARSE_CHECK(!workers_->queue.empty(), "every next() follows its push()");
    workers_->became_ready.wait(lock, [this] { return workers_->queue.front()->is_ready; });
    work = std::move(workers_->queue.front());
    workers_->queue.pop_front();
    --workers_->num_begun;
  }
  workers_->may_take.notify_one();
  if (work->bug) std::rethrow_exception(work->bug);
  return std::move(work->result);
}

}  // namespace rehearse
