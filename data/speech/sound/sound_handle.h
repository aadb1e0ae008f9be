// One recording behind libsndfile, read through our own bytes.
#pragma once

#include <sndfile.h>

#include <exception>
#include <memory>
#include <optional>
#include <span>

#include "data/speech/sound/survey.h"

namespace rehearse {

// Not thread-safe. A failure of the bytes' source comes out of the call that needed them.
class SoundHandle {
 public:
  // source outlives the handle.
  SoundHandle(const ByteSource& source, SoundPiece piece);
  ~SoundHandle();
  SoundHandle(const SoundHandle&) = delete;
  SoundHandle& operator=(const SoundHandle&) = delete;

  bool is_open() const { return file_ != nullptr; }  // false: nothing that libsndfile decodes
  int sample_rate_hz() const { return info_.samplerate; }
  int num_channels() const { return info_.channels; }
  bool is_mono_int16() const { return info_.channels == 1 && (info_.format & SF_FORMAT_SUBMASK) == SF_FORMAT_PCM_16; }
  bool is_float() const;  // samples as stored may be no numbers
  // Nothing where the header promises none, or more than so many bytes can hold.
  std::optional<int64_t> promised_frames() const;

  bool seek(int64_t frame);
  // Frames read; 0 at the end.
  int64_t read(std::span<float> interleaved);
  int64_t read(std::span<int16_t> interleaved);

 private:
  static SF_VIRTUAL_IO callbacks();
  void open();
  void pass_on_failure();
  sf_count_t size() const;
  sf_count_t move(sf_count_t offset, int whence);
  sf_count_t copy(void* to, sf_count_t count);

  SoundPiece piece_;
  ByteWindow window_;
  sf_count_t position_ = 0;
  SF_INFO info_{};
  SNDFILE* file_ = nullptr;
  std::exception_ptr failure_;  // of the source, while libsndfile was on the stack
};

}  // namespace rehearse
