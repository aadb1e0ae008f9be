// What a container really holds, whatever its header promises: found by walking over its frames, pages or chunks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/speech/sound/byte_source.h"

namespace rehearse {

// A recording of its own for libsndfile: `head`, then the bytes [begin, end) of the file.
struct SoundPiece {
  std::vector<std::byte> head;
  uint64_t begin = 0;
  uint64_t end = 0;
  bool starts_at_zero = true;  // its frames are numbered from 0, so that it can be sought in
  bool is_counted = false;     // its frames were counted, and its header says how many there are
};

struct SoundSurvey {
  std::vector<SoundPiece> pieces;  // in their order; never empty
  std::string complaint;           // what is missing, when it is more than missing_allowed_s(): "cut off: …"
};

// The whole file as one piece when it is of no kind that is walked over. DataError for one without any audio, or of
// more than 10,000 pieces.
SoundSurvey survey_sound(const ByteSource& source);

// Each nothing when the file is of another kind.
std::optional<SoundSurvey> survey_riff(const ByteSource& source);   // wav, RF64
std::optional<SoundSurvey> survey_sized(const ByteSource& source);  // AIFF, AU, W64: one length to compare
std::optional<SoundSurvey> survey_ogg(const ByteSource& source);
std::optional<SoundSurvey> survey_flac(const ByteSource& source);
std::optional<SoundSurvey> survey_mpeg(const ByteSource& source);
// The frames in [begin, end) of a file of another kind.
std::optional<SoundSurvey> survey_mpeg(const ByteSource& source, uint64_t begin, uint64_t end);

// Where audio begins and ends between tags of other programs: ID3v2 before, ID3v1, Lyrics3 and APE behind it.
uint64_t skip_tags(ByteWindow& window, uint64_t offset);
uint64_t end_before_tags(ByteWindow& window);

// Sums up what is missing, and tells when it is too much.
class MissingTally {
 public:
  // `what` reads "expected 64387 frames, found 28672".
  void add(double missing_s, const std::string& what);
  // Nobody knows how much.
  void add_unknown(const std::string& what);
  std::string complaint(double total_s) const;

 private:
  double missing_s_ = 0;
  bool is_unknown_ = false;
  std::string largest_;
  double largest_s_ = -1;
};

}  // namespace rehearse
