// The little geometry that drawn heads need: vectors, a head's pose, ellipsoids under parallel rays.
#pragma once

#include <optional>

namespace rehearse::images::synth {

// x to the right of the picture, y down, z towards the viewer.
struct Vec {
  double x = 0, y = 0, z = 0;
};

inline Vec operator+(const Vec& a, const Vec& b) {
  return {a.x + b.x, a.y + b.y, a.z + b.z};
}
inline Vec operator-(const Vec& a, const Vec& b) {
  return {a.x - b.x, a.y - b.y, a.z - b.z};
}
inline Vec operator*(double s, const Vec& a) {
  return {s * a.x, s * a.y, s * a.z};
}
inline double dot(const Vec& a, const Vec& b) {
  return a.x * b.x + a.y * b.y + a.z * b.z;
}
Vec unit(const Vec& a);

// From the head's own frame to the viewer's: turned (yaw), then nodded (pitch), then tilted (roll).
class Pose {
 public:
  Pose() = default;
  Pose(double yaw_deg, double pitch_deg, double roll_deg);
  Vec to_view(const Vec& a) const;
  Vec to_head(const Vec& a) const;

 private:
  Vec rows_[3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
};

struct Ellipsoid {
  Vec centre;
  Vec radii;

  // The largest t with from + t * along on the surface.
  std::optional<double> last_hit(const Vec& from, const Vec& along) const;
  Vec normal_at(const Vec& point) const;
  // z of the front at (x, y); of the rim where the point lies beyond it.
  double front_at(double x, double y) const;
};

// 0 below low, 1 above high, smooth between.
double smooth_step(double low, double high, double value);

}  // namespace rehearse::images::synth
