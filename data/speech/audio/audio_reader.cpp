#include "data/speech/audio/audio_reader.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "data/speech/audio/resampler.h"
#include "trainer/base/error.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

constexpr const char* kLastResort = "sndfile";
constexpr float kSilentPeak = 1e-3f;  // -60 dB of full scale

}  // namespace

AudioClip AudioReader::stream(const std::string& path, const AudioPart& part, const AudioSink& sink) const {
  AudioClip clip = read(path, part);
  sink(clip.samples, clip.sample_rate_hz);
  clip.samples.clear();
  return clip;
}

double AudioReader::duration_s(const std::string& path) const {
  const AudioClip clip = read(path, {});
  if (!clip.complaint.empty()) throw DataError(path, ": expected a whole file; found it ", clip.complaint);
  return static_cast<double>(clip.samples.size()) / clip.sample_rate_hz;
}

AudioReaders::AudioReaders(const AudioReader::Context& context) {
  ConfigValue no_options;
  no_options.kind = ConfigValue::Kind::kMap;
  ConfigNode node(&no_options, "audio_reader");
  const auto& entries = Registry<AudioReader>::instance().entries();
  for (const auto& [name, entry] : entries)
    if (name != kLastResort) readers_.push_back(entry.create(node, context));
  const auto last = entries.find(kLastResort);
  if (last != entries.end()) readers_.push_back(last->second.create(node, context));
}

const AudioReader& AudioReaders::reader_of(const std::string& path) const {
  for (const auto& reader : readers_)
    if (reader->accepts(path)) return *reader;
  throw DataError(path, ": expected a file that one of ", readers_.size(), " audio readers accepts; found none");
}

std::vector<float> AudioReaders::read(const std::string& path, double offset_s, double duration_s, int sample_rate_hz,
                                      int channel) const {
  AudioClip clip = reader_of(path).read(path, {offset_s, duration_s, channel});
  if (duration_s <= 0 && !clip.complaint.empty())
    throw DataError(path, ": expected a whole file; found it ", clip.complaint);
  if (clip.sample_rate_hz == sample_rate_hz) return std::move(clip.samples);
  return resample(clip.samples, clip.sample_rate_hz, sample_rate_hz);
}

HeardAudio AudioReaders::hear(const std::string& path, const AudioPart& part, int sample_rate_hz) const {
  HeardAudio heard;
  std::optional<Resampler> resampler;
  const AudioSink sink = [&](std::span<const float> samples, int from_hz) {
    if (!resampler) resampler.emplace(from_hz, sample_rate_hz);
    resampler->push(samples, heard.samples);
  };
  AudioClip clip = reader_of(path).stream(path, part, sink);
  if (resampler) resampler->finish(heard.samples);
  heard.complaint = std::move(clip.complaint);
  for (const std::string& remark : {stereo_remark(clip.stereo), level_remark(heard.samples)})
    if (!remark.empty()) heard.remarks.push_back(remark);
  return heard;
}

double AudioReaders::duration_s(const std::string& path) const {
  return reader_of(path).duration_s(path);
}

std::string level_remark(std::span<const float> samples) {
  float peak = 0;
  for (const float sample : samples) peak = std::max(peak, std::abs(sample));
  return peak < kSilentPeak ? concat("silent: the highest sample is ", peak) : "";
}

}  // namespace rehearse
