// From records to what a network computes with, and back.
#pragma once

#include <cstdint>
#include <span>

#include "data/images/face_records.h"

namespace rehearse::images {

// 0 … 255 to [0, 1]; both [H, W].
void scale_pixels(std::span<const uint8_t> pixels, std::span<float> scaled);

// Points [P, 2] in pixels to targets [P, 2] about the centre, (x - width / 2) / (width / 2): -1 and 1 are the picture's
// edges. weights [P] are 1, or 0 for a missing point, whose targets are 0.
void scale_points(const FaceLayout& layout, std::span<const float> points, std::span<float> targets,
                  std::span<float> weights);
// Back to pixels; predicted [P, 2].
void unscale_points(const FaceLayout& layout, std::span<const float> predicted, std::span<float> points);

}  // namespace rehearse::images
