#include "data/speech/audio/sound_file.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "data/speech/sound/foreign.h"
#include "data/speech/sound/sound_handle.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

constexpr int kLowestRateHz = 1000;
constexpr int kHighestRateHz = 768000;
constexpr int64_t kBlockFrames = 8192;
// Float files may exceed full scale a little; far beyond it the samples are no [-1, 1] audio at all.
constexpr float kHighestPeak = 16.0f;
// A fragment of a damaged file that cannot be decoded is worth a word from here on.
constexpr uint64_t kSmallFragmentBytes = 4096;

void expect_finite(const std::string& name, std::span<const float> samples) {
  for (float sample : samples) {
    if (!std::isfinite(sample)) throw DataError(name, ": expected finite samples; found NaN or infinity");
    if (std::abs(sample) > kHighestPeak)
      throw DataError(name, ": expected samples in [-1, 1]; found ", sample, "; scale the file to full scale 1");
  }
}

SoundSurvey as_it_is(const ByteSource& source) {
  return {{{{}, 0, source.size(), true}}, ""};
}

}  // namespace

SoundFile::SoundFile(std::shared_ptr<const ByteSource> source, Trust trust)
    : source_(std::move(source)), survey_(trust == Trust::kWalk ? survey_sound(*source_) : as_it_is(*source_)) {
  if (!go_to(0)) throw DataError(source_->name(), ": expected audio; found ", describe_foreign(*source_));
}

SoundFile::SoundFile(const std::string& path) : SoundFile(std::make_shared<ByteSource>(path), Trust::kWalk) {}

SoundFile::SoundFile(std::span<const std::byte> bytes, const std::string& name)
    : SoundFile(std::make_shared<ByteSource>(bytes, name), Trust::kHeader) {}

SoundFile::~SoundFile() = default;
SoundFile::SoundFile(SoundFile&&) noexcept = default;

int SoundFile::sample_rate_hz() const {
  return sample_rate_hz_;
}
int SoundFile::num_channels() const {
  return handle_->num_channels();
}

// To the start of this piece, or of the first one behind it that can be decoded; false when there is none.
bool SoundFile::go_to(size_t piece) {
  for (; piece < survey_.pieces.size(); ++piece) {
    const SoundPiece& one = survey_.pieces[piece];
    auto handle = std::make_unique<SoundHandle>(*source_, one);
    if (!handle->is_open()) {
      if (one.end - one.begin >= kSmallFragmentBytes && survey_.complaint.empty())
        survey_.complaint =
            concat("damaged: ", one.end - one.begin, " bytes at byte ", one.begin, " cannot be decoded");
      continue;
    }
    const int rate = handle->sample_rate_hz();
    if (rate < kLowestRateHz || rate > kHighestRateHz)
      throw DataError(source_->name(), ": expected a sample rate from ", kLowestRateHz, " to ", kHighestRateHz,
                      " Hz; found ", rate);
    if (handle->num_channels() < 1)
      throw DataError(source_->name(), ": expected at least 1 channel; found ", handle->num_channels());
    if (handle_ && rate != sample_rate_hz_)
      throw DataError(source_->name(), ": expected one sample rate; found recordings of ", sample_rate_hz_, " and ",
                      rate, " Hz joined in one file; cut them apart, or convert the file to one rate");
    sample_rate_hz_ = rate;
    piece_ = piece;
    handle_ = std::move(handle);
    block_.resize(static_cast<size_t>(kBlockFrames) * static_cast<size_t>(handle_->num_channels()));
    return true;
  }
  return false;
}

int64_t SoundFile::decode_all() {
  go_to(piece_);  // afresh: a failed seek leaves an error behind
  int64_t counted = 0;
  while (const int64_t got = handle_->read(block_)) {
    expect_finite(source_->name(), std::span(block_).first(static_cast<size_t>(got * handle_->num_channels())));
    counted += got;
  }
  return counted;
}

int64_t SoundFile::count_frames() {
  int64_t counted = 0;
  for (bool is_there = go_to(0); is_there; is_there = go_to(piece_ + 1)) {
    const auto promised = handle_->promised_frames();
    const std::span<float> one_frame = std::span(block_).first(static_cast<size_t>(handle_->num_channels()));
    const bool is_walked = survey_.pieces[piece_].is_counted;
    const auto has_last = [&] { return handle_->seek(*promised - 1) && handle_->read(one_frame) == 1; };
    const bool is_true = promised && (is_walked || (!handle_->is_float() && has_last()));
    counted += is_true ? *promised : decode_all();
  }
  return counted;
}

int64_t SoundFile::skip(int64_t frames) {
  int64_t skipped = 0;
  while (skipped < frames) {
    const auto wanted = static_cast<size_t>(std::min(kBlockFrames, frames - skipped));
    const int64_t got = handle_->read(std::span(block_).first(wanted * static_cast<size_t>(handle_->num_channels())));
    if (got == 0) break;
    skipped += got;
  }
  return skipped;
}

void SoundFile::seek(int64_t frame) {
  if (frame <= 0) return;
  int64_t left = frame;
  for (bool is_there = true; is_there; is_there = go_to(piece_ + 1)) {
    const auto promised = handle_->promised_frames();
    if (promised && left >= *promised) {
      left -= *promised;
      continue;
    }
    if (handle_->seek(left)) return;
    go_to(piece_);
    left -= skip(left);
    if (left == 0) return;
  }
  throw DataError(source_->name(), ": offset: expected less than ", frame - left, " frames; found ", frame);
}

void SoundFile::mix(std::span<const float> interleaved, int channel, std::vector<float>& mono) {
  const int channels = handle_->num_channels();
  if (channel >= channels)
    throw DataError(source_->name(), ": channel: expected less than ", channels, ", the channels of the file; found ",
                    channel);
  const int first = channel < 0 ? 0 : channel;
  const int last = channel < 0 ? channels : channel + 1;
  if (channel < 0) stereo_.add(interleaved, channels);
  for (size_t i = 0; i < interleaved.size(); i += static_cast<size_t>(channels)) {
    float sum = 0;
    for (int c = first; c < last; ++c) sum += interleaved[i + static_cast<size_t>(c)];
    mono.push_back(std::clamp(sum / static_cast<float>(last - first), -1.0f, 1.0f));
  }
}

std::vector<float> SoundFile::read_mono(int64_t max_frames, int channel) {
  std::vector<float> mono;
  if (const auto promised = handle_->promised_frames())
    mono.reserve(static_cast<size_t>(std::min(max_frames, *promised)));
  while (static_cast<int64_t>(mono.size()) < max_frames) {
    const int64_t wanted = std::min<int64_t>(kBlockFrames, max_frames - static_cast<int64_t>(mono.size()));
    const auto channels = static_cast<size_t>(handle_->num_channels());
    const int64_t got = handle_->read(std::span(block_).first(static_cast<size_t>(wanted) * channels));
    if (got == 0 && !go_to(piece_ + 1)) break;
    const auto block = std::span<const float>(block_).first(static_cast<size_t>(got) * channels);
    expect_finite(source_->name(), block);
    mix(block, channel, mono);
  }
  return mono;
}

std::vector<int16_t> SoundFile::read_int16(int64_t max_frames) {
  if (!handle_->is_mono_int16())
    throw DataError(source_->name(), ": expected one channel of 16 bits; found ", handle_->num_channels(), " channels");
  std::vector<int16_t> samples;
  std::vector<int16_t> block(static_cast<size_t>(kBlockFrames));
  while (static_cast<int64_t>(samples.size()) < max_frames) {
    const int64_t wanted = std::min<int64_t>(kBlockFrames, max_frames - static_cast<int64_t>(samples.size()));
    const int64_t got = handle_->read(std::span(block).first(static_cast<size_t>(wanted)));
    if (got == 0) break;
    samples.insert(samples.end(), block.begin(), block.begin() + got);
  }
  return samples;
}

std::vector<int16_t> decode_flac(std::span<const std::byte> bytes, const std::string& name) {
  return SoundFile(bytes, name).read_int16(std::numeric_limits<int64_t>::max());
}

namespace {

constexpr float kInt16Scale = 32768.0f;

int16_t rounded(float sample) {
  return static_cast<int16_t>(std::clamp(std::nearbyint(sample * kInt16Scale), -kInt16Scale, kInt16Scale - 1));
}

}  // namespace

std::vector<int16_t> to_int16(std::span<const float> samples) {
  std::vector<int16_t> grid(samples.size());
  std::transform(samples.begin(), samples.end(), grid.begin(), rounded);
  return grid;
}

void round_to_int16(std::span<float> samples) {
  for (float& sample : samples) sample = static_cast<float>(rounded(sample)) / kInt16Scale;
}

std::vector<float> from_int16(std::span<const int16_t> samples) {
  std::vector<float> floats(samples.size());
  std::transform(samples.begin(), samples.end(), floats.begin(),
                 [](int16_t sample) { return static_cast<float>(sample) / kInt16Scale; });
  return floats;
}

}  // namespace rehearse
