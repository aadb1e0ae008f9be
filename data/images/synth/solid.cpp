#include "data/images/synth/solid.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace rehearse::images::synth {
namespace {

Vec scaled_down(const Vec& a, const Vec& radii) {
  return {a.x / radii.x, a.y / radii.y, a.z / radii.z};
}

}  // namespace

Vec unit(const Vec& a) {
  return (1.0 / std::sqrt(dot(a, a))) * a;
}

Pose::Pose(double yaw_deg, double pitch_deg, double roll_deg) {
  const double degree = std::numbers::pi / 180;
  const double cy = std::cos(yaw_deg * degree), sy = std::sin(yaw_deg * degree);
  const double cp = std::cos(pitch_deg * degree), sp = std::sin(pitch_deg * degree);
  const double cr = std::cos(roll_deg * degree), sr = std::sin(roll_deg * degree);
  const Vec turned[3] = {{cy, 0, sy}, {0, 1, 0}, {-sy, 0, cy}};
  const Vec nodded[3] = {turned[0], cp * turned[1] + sp * turned[2], -sp * turned[1] + cp * turned[2]};
  rows_[0] = cr * nodded[0] - sr * nodded[1];
  rows_[1] = sr * nodded[0] + cr * nodded[1];
  rows_[2] = nodded[2];
}

Vec Pose::to_view(const Vec& a) const {
  return {dot(rows_[0], a), dot(rows_[1], a), dot(rows_[2], a)};
}

Vec Pose::to_head(const Vec& a) const {
  return a.x * rows_[0] + a.y * rows_[1] + a.z * rows_[2];
}

std::optional<double> Ellipsoid::last_hit(const Vec& from, const Vec& along) const {
  const Vec o = scaled_down(from - centre, radii), d = scaled_down(along, radii);
  const double a = dot(d, d), b = dot(o, d), c = dot(o, o) - 1;
  const double inside = b * b - a * c;
  if (inside < 0) return {};
  return (-b + std::sqrt(inside)) / a;
}

Vec Ellipsoid::normal_at(const Vec& point) const {
  return unit(scaled_down(scaled_down(point - centre, radii), radii));
}

double Ellipsoid::front_at(double x, double y) const {
  const double u = (x - centre.x) / radii.x, v = (y - centre.y) / radii.y;
  return centre.z + radii.z * std::sqrt(std::max(0.0, 1 - u * u - v * v));
}

double smooth_step(double low, double high, double value) {
  const double t = std::clamp((value - low) / (high - low), 0.0, 1.0);
  return t * t * (3 - 2 * t);
}

}  // namespace rehearse::images::synth
