#include "data/images/synth/face_paint.h"

#include <algorithm>
#include <cmath>

namespace rehearse::images::synth {
namespace {

constexpr double kEdge = 0.012;  // over which one colour becomes another

double mixed(double under, double over, double share) {
  return under + share * (over - under);
}

// 1 where value < 0.
double inside(double value) {
  return 1 - smooth_step(-kEdge, kEdge, value);
}

// Share of ink of the brow at x of its own side.
double brow_ink(const FaceShape& face, double x, double y) {
  const double t = (x - face.brow_inner_x) / (face.brow_outer_x - face.brow_inner_x);
  const double along = std::clamp(t, 0.0, 1.0);
  const double middle = mixed(face.brow_inner_y, face.brow_outer_y, along) - face.brow_arch * 4 * along * (1 - along);
  const double beyond = (t - along) * (face.brow_outer_x - face.brow_inner_x);
  return 0.9 * inside(std::hypot(y - middle, 2 * beyond) - face.brow_thickness * (1 - 0.6 * along));
}

// The eye over what is below it; x of its own side, iris_x where the iris is.
double with_eye(const FaceShape& face, double under, double x, double y, double iris_x) {
  const double u = (x - face.eye_x) / face.eye_half_width;
  const double v = y - face.eye_y + face.eye_slant * u;
  if (std::abs(u) > 1.3 || std::abs(v) > 0.25) return under;
  const double bow = std::max(0.0, 1 - u * u);
  const double from_upper = -face.lid_up * bow - v, from_lower = v - face.lid_down * bow;  // < 0: within
  double eye = 0.92;
  const double from_iris = std::hypot(x - iris_x, y - face.eye_y);
  eye = mixed(eye, face.iris, inside(from_iris - face.iris_radius));
  eye = mixed(eye, 0.02, inside(from_iris - 0.45 * face.iris_radius));
  eye = mixed(eye, 1.0, inside(std::hypot(x - iris_x - 0.02, y - face.eye_y + 0.025) - 0.012));
  const double is_eye = inside(std::max({from_upper, from_lower, std::abs(u) - 1}));
  const double lash = std::abs(u) > 1.08 ? 0 : inside(std::abs(from_upper) - 0.018);
  const double crease = std::abs(u) > 1 ? 0 : inside(std::abs(from_upper - 0.05) - 0.01);
  under = mixed(under, 0.7 * under, crease);
  return mixed(mixed(under, eye, is_eye), 0.06, 0.9 * lash);
}

double with_glasses(double under, const FaceShape& face, double x, double y) {
  const double ring = std::hypot((x - face.eye_x) / 0.23, (y - face.eye_y - 0.02) / 0.19);
  const double rim = inside(0.2 * std::abs(ring - 1) - 0.022);
  const double bridge = x < face.eye_x - 0.22 ? inside(std::abs(y - face.eye_y + 0.02) - 0.02) : 0;
  const double temple = x > face.eye_x + 0.22 ? inside(std::abs(y - face.eye_y + 0.02) - 0.02) : 0;
  return mixed(under, 0.06, std::max({rim, bridge, temple}));
}

double with_mouth(const FaceShape& face, double under, double x, double y) {
  const double u = x / face.mouth_half_width;
  if (std::abs(u) > 1.2) return under;
  const double bow = std::max(0.0, 1 - u * u);
  const double middle = face.mouth_y - face.smile * u * u, gap = face.open / 2 * bow;
  const double top = middle - gap - face.lip_up * bow, bottom = middle + gap + face.lip_down * bow;
  const double beyond = std::abs(u) - 1;
  const double is_lip = inside(std::max({top - y, y - bottom, beyond}));
  const double is_gap = inside(std::max({std::abs(y - middle) - gap - 0.012, beyond}));
  const bool has_teeth = face.open > 0 && face.smile > 0.02;
  const double within = has_teeth && y < middle + 0.4 * gap && gap > 0.015 ? 0.8 : 0.05;
  return mixed(mixed(under, face.lips * face.skin, is_lip), within, 0.95 * is_gap);
}

}  // namespace

double head_albedo(const FaceShape& face, const Vec& point) {
  const double side = std::abs(point.x), y = point.y;
  double albedo = face.skin;
  const double is_beard = smooth_step(0.3, 0.42, y + 0.35 * side * side) * smooth_step(-0.1, 0.2, point.z);
  albedo = mixed(albedo, face.hair, face.beard * is_beard);
  const double hairline = face.hairline_y + 0.95 * side * side;
  albedo = mixed(albedo, face.hair, 1 - smooth_step(-0.03, 0.03, y - hairline));
  if (point.z < 0) return mixed(albedo, face.hair, y < 0.3 ? smooth_step(0, 0.2, -point.z) : 0);
  albedo = with_mouth(face, albedo, point.x, y);
  const double iris_x = face.eye_x + (point.x < 0 ? -face.gaze : face.gaze);
  albedo = with_eye(face, albedo, side, y, iris_x);
  albedo = mixed(albedo, std::min(face.hair, 0.45 * face.skin), brow_ink(face, side, y));
  return face.has_glasses ? with_glasses(albedo, face, side, y) : albedo;
}

double nose_albedo(const FaceShape& face, const Vec& point) {
  const double nostril =
      std::hypot((std::abs(point.x) - 0.5 * face.nose_width) / 0.032, (point.y - face.nose_y - 0.078) / 0.02);
  return mixed(face.skin, 0.25 * face.skin, 1 - smooth_step(0.7, 1.3, nostril));
}

}  // namespace rehearse::images::synth
