#include <soxr.h>

#include <algorithm>
#include <cmath>

#include "data/readers/audio_reader.h"
#include "trainer/base/error.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

constexpr const char* kLastResort = "sndfile";

}  // namespace

double AudioReader::duration_s(const std::string& path) const {
  const AudioClip clip = read(path, {});
  return static_cast<double>(clip.samples.size()) / clip.sample_rate_hz;
}

AudioReaders::AudioReaders() {
  ConfigValue no_options;
  no_options.kind = ConfigValue::Kind::kMap;
  ConfigNode node(&no_options, "audio_reader");
  const auto& entries = Registry<AudioReader>::instance().entries();
  for (const auto& [name, entry] : entries)
    if (name != kLastResort) readers_.push_back(entry.create(node, {}));
  const auto last = entries.find(kLastResort);
  if (last != entries.end()) readers_.push_back(last->second.create(node, {}));
}

const AudioReader& AudioReaders::reader_of(const std::string& path) const {
  for (const auto& reader : readers_)
    if (reader->accepts(path)) return *reader;
  throw DataError(path, ": expected a file that one of ", readers_.size(), " audio readers accepts; found none");
}

std::vector<float> AudioReaders::read(const std::string& path, double offset_s, double duration_s, int sample_rate_hz,
                                      int channel) const {
  AudioClip clip = reader_of(path).read(path, {offset_s, duration_s, channel});
  if (clip.sample_rate_hz == sample_rate_hz) return std::move(clip.samples);
  return resample(clip.samples, clip.sample_rate_hz, sample_rate_hz);
}

double AudioReaders::duration_s(const std::string& path) const {
  return reader_of(path).duration_s(path);
}

std::vector<float> resample(const std::vector<float>& samples, int from_hz, int to_hz) {
  REHEARSE_CHECK(from_hz > 0 && to_hz > 0, "sample rates are checked where they enter: ", from_hz, ", ", to_hz);
  if (from_hz == to_hz || samples.empty()) return samples;
  const double exact = static_cast<double>(samples.size()) * to_hz / from_hz;
  // soxr may deliver a sample less than asked for; the rest stays silent so that the length is a function of the rates.
  std::vector<float> output(static_cast<size_t>(std::max(1ll, std::llround(exact))), 0.0f);
  const soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
  const soxr_runtime_spec_t one_thread = soxr_runtime_spec(1);
  size_t consumed = 0;
  size_t produced = 0;
  const soxr_error_t failure = soxr_oneshot(from_hz, to_hz, 1, samples.data(), samples.size(), &consumed, output.data(),
                                            output.size(), &produced, nullptr, &quality, &one_thread);
  if (failure) throw DataError("resample ", from_hz, " to ", to_hz, " Hz: expected success; found ", failure);
  return output;
}

}  // namespace rehearse
