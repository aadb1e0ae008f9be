#include "data/images/synth/face_scene.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <optional>

#include "data/images/synth/face_paint.h"

namespace rehearse::images::synth {
namespace {

enum class Part { kHead, kNose, kHair, kSkin, kShirt };

struct Hit {
  double depth = -1e9;  // z towards the viewer
  Part part = Part::kHead;
  Vec point;   // in the frame of the solid: the head's or the body's
  Vec normal;  // in the viewer's frame
};

struct Solid {
  Ellipsoid shape;
  Part part;
  bool turns = true;  // with the head
};

// Whatever a ray can meet.
std::array<Solid, 8> solids_of(const FaceShape& face) {
  return {{{face.head_solid(), Part::kHead, true},
           {face.nose_tip_solid(), Part::kNose, true},
           {face.nose_bridge_solid(), Part::kSkin, true},
           {face.hair_solid(), Part::kHair, true},
           {face.ear_solid(1), Part::kSkin, true},
           {face.ear_solid(-1), Part::kSkin, true},
           {{{0, 1.1, -0.35}, {0.42, 0.8, 0.4}}, Part::kSkin, false},
           {{{0, 2.15, -0.4}, {1.7, 0.75, 0.6}}, Part::kShirt, false}}};
}

std::optional<Hit> first_seen(const std::array<Solid, 8>& solids, const Pose& pose, double u, double v) {
  std::optional<Hit> seen;
  const Vec from = pose.to_head({u, v, 0}), along = pose.to_head({0, 0, 1});
  for (const Solid& solid : solids) {
    const Vec start = solid.turns ? from : Vec{u, v, 0}, step = solid.turns ? along : Vec{0, 0, 1};
    const std::optional<double> depth = solid.shape.last_hit(start, step);
    if (!depth || (seen && *depth <= seen->depth)) continue;
    const Vec point = start + *depth * step;
    const Vec normal = solid.shape.normal_at(point);
    seen = Hit{*depth, solid.part, point, solid.turns ? pose.to_view(normal) : normal};
  }
  return seen;
}

double albedo_of(const FaceShape& face, const Hit& hit) {
  switch (hit.part) {
    case Part::kHead:
      return head_albedo(face, hit.point);
    case Part::kNose:
      return nose_albedo(face, hit.point);
    case Part::kHair:
      return face.hair;
    case Part::kSkin:
      return face.skin;
    case Part::kShirt:
      return face.shirt;
  }
  return 0;
}

double between(const Span& span, double share) {
  return span.low + share * (span.high - span.low);
}

double either_side(double value, double share) {
  return share < 0.5 ? -value : value;
}

Occluder occluder_before(const FaceScene& scene, const RandomKey& key) {
  const std::vector<float> points = scene.points();
  const size_t point = key.below(points.size() / 2, 0);
  const double unit = scene.size / 96.0;
  Occluder occluder;
  occluder.is_bar = key.uniform(1) < 0.4;
  occluder.x = points[2 * point] + unit * 8 * (key.uniform(2) - 0.5);
  occluder.y = points[2 * point + 1] + unit * 8 * (key.uniform(3) - 0.5);
  occluder.half_width = unit * (occluder.is_bar ? 200 : 6 + 12 * key.uniform(4));
  occluder.half_height = unit * (occluder.is_bar ? 2.5 + 4 * key.uniform(5) : 6 + 8 * key.uniform(5));
  occluder.angle = std::numbers::pi * key.uniform(6);
  occluder.grey = 0.1 + 0.8 * key.uniform(7);
  return occluder;
}

// In shares of white.
double light_from(const FaceScene& scene, const std::array<Solid, 8>& solids, double x, double y) {
  for (const Occluder& occluder : scene.occluders)
    if (occluder.covers(x, y)) return occluder.grey * std::min(1.0, scene.light_level);
  const auto hit =
      first_seen(solids, scene.pose, (x - scene.centre_x) / scene.scale, (y - scene.centre_y) / scene.scale);
  if (!hit) {
    const double side = scene.size;
    const double grey =
        scene.background[0] + scene.background[1] * (x / side - 0.5) + scene.background[2] * (y / side - 0.5);
    return scene.light_level * std::clamp(grey, 0.0, 1.0);
  }
  const double falls = std::max(0.0, (dot(hit->normal, scene.light) + 0.15) / 1.15);
  return scene.light_level * albedo_of(scene.face, *hit) * (scene.ambient + (1.05 - scene.ambient) * falls);
}

}  // namespace

bool Occluder::covers(double at_x, double at_y) const {
  const double dx = at_x - x, dy = at_y - y;
  const double u = (std::cos(angle) * dx + std::sin(angle) * dy) / half_width;
  const double v = (std::cos(angle) * dy - std::sin(angle) * dx) / half_height;
  return is_bar ? std::max(std::abs(u), std::abs(v)) < 1 : u * u + v * v < 1;
}

FaceScene FaceScene::drawn(const FaceDomainOptions& domain, int size, const RandomKey& key) {
  enum Draw : uint64_t { kYaw, kYawSide, kPitch, kRoll, kX, kY, kScale, kLight, kSide, kSideSign, kHeight, kAmbient };
  const RandomKey pose = key.with("pose"), sky = key.with("background"), cover = key.with("occluder");
  const double unit = size / 96.0;
  FaceScene scene;
  scene.size = size;
  scene.face = FaceShape::drawn(key.with("face"));
  const double yaw_deg = either_side(between(domain.yaw_deg, pose.uniform(kYaw)), pose.uniform(kYawSide));
  scene.pose =
      Pose(yaw_deg, between(domain.pitch_deg, pose.uniform(kPitch)), between(domain.roll_deg, pose.uniform(kRoll)));
  scene.centre_x = unit * (48 + 8 * (pose.uniform(kX) - 0.5));
  scene.centre_y = unit * (49 + 8 * (pose.uniform(kY) - 0.5));
  scene.scale = unit * (38 + 9 * pose.uniform(kScale));
  const double degree = std::numbers::pi / 180;
  const double side =
      degree * either_side(between(domain.light_side_deg, pose.uniform(kSide)), pose.uniform(kSideSign));
  const double height = degree * (5 + 40 * pose.uniform(kHeight));
  scene.light = {std::sin(side) * std::cos(height), -std::sin(height), std::cos(side) * std::cos(height)};
  scene.light_level = between(domain.light_level, pose.uniform(kLight));
  scene.ambient = between({0.15, 0.45}, pose.uniform(kAmbient));
  scene.background[0] = 0.1 + 0.8 * sky.uniform(0);
  for (size_t axis = 1; axis < 3; ++axis) scene.background[axis] = sky.uniform(axis) - 0.5;
  scene.noise = between(domain.noise, sky.uniform(3));
  if (cover.uniform(8) < domain.occlusion) scene.occluders.push_back(occluder_before(scene, cover));
  return scene;
}

std::vector<float> FaceScene::points() const {
  std::vector<float> places;
  for (const Vec& point : face.points()) {
    const Vec seen = pose.to_view(point);
    places.push_back(static_cast<float>(centre_x + scale * seen.x));
    places.push_back(static_cast<float>(centre_y + scale * seen.y));
  }
  return places;
}

std::vector<bool> FaceScene::hidden() const {
  constexpr double kNear = 0.02;
  const std::array<Solid, 8> solids = solids_of(face);
  std::vector<bool> hidden;
  for (const Vec& point : face.points()) {
    const Vec seen = pose.to_view(point);
    const double x = centre_x + scale * seen.x, y = centre_y + scale * seen.y;
    const auto hit = first_seen(solids, pose, seen.x, seen.y);
    const bool is_covered =
        std::any_of(occluders.begin(), occluders.end(), [&](const Occluder& one) { return one.covers(x, y); });
    hidden.push_back(is_covered || (hit && hit->depth > seen.z + kNear));
  }
  return hidden;
}

std::vector<uint8_t> FaceScene::pixels(const RandomKey& noise_key) const {
  constexpr int kRays = 3;  // along each axis
  const std::array<Solid, 8> solids = solids_of(face);
  std::vector<uint8_t> pixels;
  for (int y = 0; y < size; ++y)
    for (int x = 0; x < size; ++x) {
      double sum = 0;
      for (int ray = 0; ray < kRays * kRays; ++ray)
        sum +=
            std::min(1.0, light_from(*this, solids, x + (ray % kRays + 0.5) / kRays, y + (ray / kRays + 0.5) / kRays));
      const double value = 255 * sum / (kRays * kRays) + noise * noise_key.normal(pixels.size());
      pixels.push_back(static_cast<uint8_t>(std::lround(std::clamp(value, 0.0, 255.0))));
    }
  return pixels;
}

}  // namespace rehearse::images::synth
