#include "data/images/synth/face_shape.h"

namespace rehearse::images::synth {
namespace {

// Draws in a row from one key.
class Draws {
 public:
  explicit Draws(const RandomKey& key) : key_(key) {}
  double between(double low, double high) { return low + (high - low) * key_.uniform(next_++); }
  double around(double middle, double reach) { return between(middle - reach, middle + reach); }
  bool chance(double probability) { return key_.uniform(next_++) < probability; }

 private:
  RandomKey key_;
  uint64_t next_ = 0;
};

void draw_colours(FaceShape& face, Draws& draws) {
  face.skin = draws.between(0.35, 0.85);
  face.hair = draws.chance(0.25) ? draws.between(0.35, 0.75) : draws.between(0.04, 0.25);
  face.lips = draws.between(0.45, 0.72);  // of the skin
  face.iris = draws.between(0.08, 0.45);
  face.shirt = draws.between(0.08, 0.9);
}

void draw_eyes(FaceShape& face, Draws& draws) {
  face.eye_x = draws.around(0.31, 0.03);
  face.eye_y = draws.around(-0.08, 0.03);
  face.eye_half_width = draws.around(0.15, 0.02);
  face.eye_slant = draws.around(0.008, 0.016);
  face.lid_up = draws.between(0.045, 0.105);
  face.lid_down = draws.between(0.035, 0.065);
  face.iris_radius = draws.around(0.075, 0.01);
  face.gaze = draws.around(0, 0.04);
  face.brow_inner_x = draws.around(0.14, 0.03);
  face.brow_outer_x = face.eye_x + draws.around(0.2, 0.03);
  face.brow_inner_y = face.eye_y - draws.around(0.2, 0.04);
  face.brow_outer_y = face.brow_inner_y + draws.around(0.02, 0.04);
  face.brow_arch = draws.between(0.01, 0.07);
  face.brow_thickness = draws.between(0.02, 0.05);
  face.has_glasses = draws.chance(0.12);
}

void draw_lower_face(FaceShape& face, Draws& draws) {
  face.nose_y = draws.around(0.24, 0.04);
  face.nose_width = draws.around(0.125, 0.025);
  face.nose_length = draws.around(0.17, 0.04);
  face.mouth_y = face.nose_y + draws.around(0.31, 0.04);
  face.mouth_half_width = draws.around(0.26, 0.05);
  face.smile = draws.between(-0.03, 0.08);
  face.lip_up = draws.between(0.035, 0.075);
  face.lip_down = draws.between(0.05, 0.1);
  face.open = draws.chance(0.35) ? draws.between(0.03, 0.13) : 0;
  face.hairline_y = draws.around(-0.62, 0.12);
  face.beard = draws.chance(0.2) ? draws.between(0.2, 0.7) : 0;
}

}  // namespace

FaceShape FaceShape::drawn(const RandomKey& key) {
  FaceShape face;
  Draws draws(key);
  face.head = {draws.around(0.75, 0.06), draws.around(1.0, 0.05), draws.around(0.86, 0.05)};
  draw_colours(face, draws);
  draw_eyes(face, draws);
  draw_lower_face(face, draws);
  return face;
}

Ellipsoid FaceShape::nose_tip_solid() const {
  return {{0, nose_y, head_solid().front_at(0, nose_y) - 0.03}, {nose_width, 0.1, nose_length}};
}

Ellipsoid FaceShape::nose_bridge_solid() const {
  const double top = eye_y - 0.05, middle = 0.5 * (top + nose_y);
  return {{0, middle, head_solid().front_at(0, middle) - 0.06}, {0.55 * nose_width, 0.6 * (nose_y - top), nose_length}};
}

Ellipsoid FaceShape::hair_solid() const {
  return {{0, -0.14, -0.16}, {head.x * 1.09, head.y * 1.02, head.z * 0.98}};
}

Ellipsoid FaceShape::ear_solid(double side) const {
  return {{side * head.x, 0.06, -0.05}, {0.09, 0.2, 0.13}};
}

std::vector<Vec> FaceShape::points() const {
  const auto on_head = [&](double x, double y) { return Vec{x, y, head_solid().front_at(x, y)}; };
  std::vector<Vec> points = {on_head(eye_x + gaze, eye_y), on_head(-eye_x + gaze, eye_y)};
  for (const double side : {1.0, -1.0}) {
    points.push_back(on_head(side * (eye_x - eye_half_width), eye_y + eye_slant));
    points.push_back(on_head(side * (eye_x + eye_half_width), eye_y - eye_slant));
  }
  for (const double side : {1.0, -1.0}) {
    points.push_back(on_head(side * brow_inner_x, brow_inner_y));
    points.push_back(on_head(side * brow_outer_x, brow_outer_y));
  }
  const Ellipsoid tip = nose_tip_solid();
  points.push_back(tip.centre + Vec{0, 0, tip.radii.z});
  for (const double side : {1.0, -1.0}) points.push_back(on_head(side * mouth_half_width, mouth_y - smile));
  points.push_back(on_head(0, mouth_y - lip_up - open / 2));
  points.push_back(on_head(0, mouth_y + lip_down + open / 2));
  return points;
}

}  // namespace rehearse::images::synth
