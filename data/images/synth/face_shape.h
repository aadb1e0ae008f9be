// Whose face it is and what it does: proportions, colours, expression, and where its points then are.
#pragma once

#include <vector>

#include "data/images/synth/solid.h"
#include "trainer/base/random.h"

namespace rehearse::images::synth {

// Lengths in half heights of a typical head, in the head's frame with its centre as origin. Colours are shares of the
// light that comes back.
struct FaceShape {
  Vec head{0.76, 1.0, 0.85};  // radii
  double skin = 0.6, hair = 0.15, lips = 0.6, iris = 0.25, shirt = 0.4;
  // Of the subject's left; the right side is its mirror image.
  double eye_x = 0.31, eye_y = -0.08, eye_half_width = 0.16, eye_slant = 0, lid_up = 0.085, lid_down = 0.055;
  double iris_radius = 0.075, gaze = 0;
  double brow_inner_x = 0.14, brow_outer_x = 0.5, brow_inner_y = -0.27, brow_outer_y = -0.25, brow_arch = 0.05;
  double brow_thickness = 0.035;
  double nose_y = 0.24, nose_width = 0.12, nose_length = 0.15;  // of the tip
  double mouth_y = 0.55, mouth_half_width = 0.26, smile = 0.03, lip_up = 0.06, lip_down = 0.08, open = 0;
  double hairline_y = -0.62, beard = 0;
  bool has_glasses = false;

  static FaceShape drawn(const RandomKey& key);

  Ellipsoid head_solid() const { return {{}, head}; }
  Ellipsoid nose_tip_solid() const;
  Ellipsoid nose_bridge_solid() const;
  Ellipsoid hair_solid() const;
  Ellipsoid ear_solid(double side) const;  // 1: the subject's left, -1: right
  // [15] in the order of kaggle_point_names().
  std::vector<Vec> points() const;
};

}  // namespace rehearse::images::synth
