// A face in front of a camera: pose, light, noise, what stands before it, and the picture that comes of it.
#pragma once

#include <cstdint>
#include <vector>

#include "data/images/synth/face_shape.h"
#include "data/images/synth/synth_options.h"

namespace rehearse::images::synth {

// Something in front of the face: a bar or an ellipse, in pixels of the picture.
struct Occluder {
  double x = 0, y = 0, half_width = 0, half_height = 0, angle = 0;
  bool is_bar = false;
  double grey = 0.5;

  bool covers(double at_x, double at_y) const;
};

struct FaceScene {
  int size = 96;  // pixels a side
  FaceShape face;
  Pose pose;
  double centre_x = 48, centre_y = 50, scale = 42;  // of the head, in pixels; scale: pixels of its unit
  Vec light{0, 0, 1};                               // direction towards it
  double light_level = 1, ambient = 0.4;
  double background[3] = {0.5, 0, 0};  // grey, and its slopes over the picture
  double noise = 0;                    // standard deviation, grey levels
  std::vector<Occluder> occluders;

  static FaceScene drawn(const FaceDomainOptions& domain, int size, const RandomKey& key);

  // [P, 2] of the picture: exact, whether they can be seen or not.
  std::vector<float> points() const;
  // [P] Something stands before the point, or the head's own far side.
  std::vector<bool> hidden() const;
  // [size, size]; every pixel is the mean of nine rays, then noise.
  std::vector<uint8_t> pixels(const RandomKey& noise_key) const;
};

}  // namespace rehearse::images::synth
