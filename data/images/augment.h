// Changes of a picture and its points, training only: pure functions of record, key and options.
#pragma once

#include <cstdint>
#include <span>

#include "data/images/face_records.h"
#include "trainer/base/config/config.h"
#include "trainer/base/random.h"

namespace rehearse::images {

struct FaceAugmentOptions {
  double mirror_probability = 0.5;
  int64_t max_shift_px = 4;     // along each axis, to either side, uniform
  double max_contrast = 0.25;   // values about the middle times 1 - this … 1 + this
  double max_brightness = 0.1;  // of full scale, added or taken away

  static FaceAugmentOptions from(ConfigNode& node);
};

// pixels [H, W] and points [P, 2] change in place; missing points stay missing. Any thread.
void augment_face(const FaceLayout& layout, const FaceAugmentOptions& options, const RandomKey& key,
                  std::span<uint8_t> pixels, std::span<float> points);

// Left becomes right; the points of each flip pair change places. Twice is nothing, but for the rounding of points.
void mirror_face(const FaceLayout& layout, std::span<uint8_t> pixels, std::span<float> points);
// To the right and down; what comes in repeats the edge, a point that is then outside of the picture is missing.
void shift_face(const FaceLayout& layout, int right, int down, std::span<uint8_t> pixels, std::span<float> points);
// Each value v becomes (v - 127.5) * contrast + 127.5 + 255 * brightness, within 0 … 255.
void relight(std::span<uint8_t> pixels, double contrast, double brightness);

}  // namespace rehearse::images
