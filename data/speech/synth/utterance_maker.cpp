#include "data/speech/synth/utterance_maker.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

#include "trainer/base/error.h"
#include "trainer/base/files.h"

namespace rehearse::synth {

namespace {

// Calls work(0 … count - 1) from `jobs` threads; rethrows the first failure once all have stopped.
void for_each_index(int64_t count, int jobs, const std::function<void(int64_t)>& work) {
  std::atomic<int64_t> next = 0;
  std::mutex mutex;
  std::exception_ptr failure;
  const auto run = [&] {
    try {
      for (int64_t i = next++; i < count; i = next++) work(i);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
      next = count;
    }
  };
  {
    std::vector<std::jthread> threads;
    threads.reserve(static_cast<size_t>(jobs));
    for (int job = 0; job < jobs; ++job) threads.emplace_back(run);
  }
  if (failure) std::rethrow_exception(failure);
}

std::string padded(uint64_t number) {
  std::string digits = std::to_string(number);
  return std::string(digits.size() < 6 ? 6 - digits.size() : 0, '0') + digits;
}

int64_t draw_integer(const RandomKey& key, int64_t low, int64_t high) {
  return low + static_cast<int64_t>(key.below(static_cast<uint64_t>(high - low + 1), 0));
}

}  // namespace

UtteranceMaker::UtteranceMaker(const SynthOptions& options, const DomainOptions& domain, Split split,
                               const Espeak& espeak, const fs::path& folder, int jobs)
    : options_(options),
      domain_(domain),
      split_(split),
      espeak_(espeak),
      audio_folder_(folder / domain.domain->name / "audio"),
      jobs_(jobs),
      key_(RandomKey(options.seed).with("synth").with(domain.domain->name).with(name_of(split))) {}

std::string UtteranceMaker::next_sentence() {
  // One draw in ten belongs to a small split; far more misses in a row than this mean that the grammar is used up.
  constexpr int kMostMisses = 20000;
  for (int miss = 0; miss < kMostMisses; ++miss) {
    std::string sentence = domain_.domain->grammar.expand(key_.with("sentence").with(num_draws_++));
    if (split_of(sentence) == split_ && used_.insert(sentence).second) return sentence;
  }
  throw ConfigError("synth: ", domain_.domain->name, " ", name_of(split_),
                    ": expected enough distinct sentences; found ", used_.size(), "; ask for fewer utterances");
}

Voice UtteranceMaker::draw_voice(const std::vector<std::string>& names, const RandomKey& key) const {
  return {names[key.with("voice").below(names.size(), 0)],
          static_cast<int>(draw_integer(key.with("pitch"), options_.min_pitch, options_.max_pitch)),
          static_cast<int>(draw_integer(key.with("speed"), options_.min_speed_wpm, options_.max_speed_wpm))};
}

UtteranceMaker::Candidate UtteranceMaker::next_candidate() {
  const RandomKey key = key_.with("utterance").with(num_candidates_);
  const auto& names = split_ == Split::kTest ? domain_.test_voices : domain_.voices;
  return {num_candidates_++, next_sentence(), draw_voice(names, key), key};
}

Samples UtteranceMaker::speak_at_domain_rate(const Voice& voice, const std::string& text) const {
  const AudioClip clip = espeak_.speak(voice, text);
  return resample(clip.samples, clip.sample_rate_hz, domain_.domain->sample_rate_hz);
}

void UtteranceMaker::make_talkers(int64_t count) {
  const RandomKey key = key_.with("talkers");
  talkers_.resize(static_cast<size_t>(count));
  for_each_index(count, jobs_, [&](int64_t i) {
    const RandomKey draw = key.with(static_cast<uint64_t>(i));
    // Background speech is training text in every split: a test sentence is heard in its own utterance alone.
    std::string text;
    for (uint64_t attempt = 0; text.empty() || split_of(text) != Split::kTrain; ++attempt)
      text = domain_.domain->grammar.expand(draw.with(attempt));
    talkers_[static_cast<size_t>(i)] = speak_at_domain_rate(draw_voice(babble_voices(), draw), text);
  });
}

Utterance UtteranceMaker::make(const Candidate& candidate) const {
  const Domain& domain = *domain_.domain;
  const Samples voice = speak_at_domain_rate(candidate.voice, candidate.text);
  const RandomKey pauses = candidate.key.with("pauses");
  const auto before = static_cast<size_t>((0.05 + 0.15 * pauses.uniform(0)) * domain.sample_rate_hz);
  const auto after = static_cast<size_t>((0.05 + 0.15 * pauses.uniform(1)) * domain.sample_rate_hz);
  Samples samples(before + voice.size() + after);
  std::copy(voice.begin(), voice.end(), samples.begin() + static_cast<std::ptrdiff_t>(before));

  const double duration_s = static_cast<double>(samples.size()) / domain.sample_rate_hz;
  if (duration_s < options_.min_duration_s || duration_s > options_.max_duration_s) return {};
  domain.render(samples, {domain.sample_rate_hz, domain_.snr, &talkers_, candidate.key});
  const std::string file = concat(name_of(split_), "-", padded(candidate.index), ".", extension_of(domain.codec));
  const fs::path path = audio_folder_ / file;
  write_audio(path.string(), samples, domain.sample_rate_hz, domain.codec, domain.quality);
  return {.id = stable_utterance_id(domain.name, file, 0, duration_s),
          .audio_path = path.string(),
          .text = candidate.text,
          .domain = domain.name,
          .speaker = candidate.voice.name,
          .lang = "en",
          .license = "synthetic",
          .duration_s = duration_s,
          .offset_s = 0};
}

int64_t UtteranceMaker::num_missing(const std::vector<Utterance>& made, double seconds) const {
  const auto num_made = static_cast<int64_t>(made.size());
  if (split_ == Split::kTest) return domain_.test_utterances - num_made;
  if (split_ == Split::kValid) return domain_.valid_utterances - num_made;
  if (domain_.train_utterances > 0) return domain_.train_utterances - num_made;
  // On the long side at first, so that the first round does not make too many.
  constexpr double kFirstGuessSeconds = 3.5;
  const double mean_s = made.empty() ? kFirstGuessSeconds : seconds / static_cast<double>(num_made);
  return std::max<int64_t>(0, std::llround(std::ceil((domain_.train_seconds - seconds) / mean_s)));
}

std::vector<Utterance> UtteranceMaker::make_all() {
  constexpr int kMostEmptyRounds = 20;
  make_folder(audio_folder_);
  std::vector<Utterance> made;
  double seconds = 0;
  int empty_rounds = 0;
  const int64_t wanted = num_missing(made, 0);
  if (domain_.domain->uses_babble && wanted > 0) make_talkers(std::clamp<int64_t>(wanted, 6, 24));
  while (const int64_t missing = num_missing(made, seconds)) {
    std::vector<Candidate> candidates;
    for (int64_t i = 0; i < missing; ++i) candidates.push_back(next_candidate());
    std::vector<Utterance> round(candidates.size());
    for_each_index(missing, jobs_, [&](int64_t i) {
      const auto at = static_cast<size_t>(i);
      round[at] = make(candidates[at]);
    });
    const size_t before = made.size();
    for (Utterance& utterance : round) {
      if (utterance.text.empty()) continue;
      seconds += utterance.duration_s;
      made.push_back(std::move(utterance));
    }
    empty_rounds = made.size() == before ? empty_rounds + 1 : 0;
    if (empty_rounds == kMostEmptyRounds)
      throw ConfigError("synth: ", domain_.domain->name, ": expected sentences of ", options_.min_duration_s, " to ",
                        options_.max_duration_s, " s; found none; widen min_duration_s and max_duration_s");
  }
  return made;
}

}  // namespace rehearse::synth
