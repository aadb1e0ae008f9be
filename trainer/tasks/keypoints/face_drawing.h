// Pictures with their points, for people.
#pragma once

#include <span>

#include "data/images/face_records.h"
#include "data/images/picture.h"

namespace rehearse::keypoints {

// The grey picture in colour, each pixel `factor` times as wide and high; true points as green crosses, predicted ones
// as red dots on them. pixels [H, W], points [P, 2] in pixels of the picture; NaN, or an empty list: not drawn.
images::Picture drawn_points(const images::Picture& grey, int factor, std::span<const float> predicted,
                             std::span<const float> points);

// How many times larger a picture of this width is for people: about 400 pixels wide, and never smaller.
int drawing_factor(int width);

}  // namespace rehearse::keypoints
