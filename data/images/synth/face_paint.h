// What is painted on a head: brows, eyes, lips, hair.
#pragma once

#include "data/images/synth/face_shape.h"

namespace rehearse::images::synth {

// The share of light that comes back from a point of the head's surface, of its nose.
double head_albedo(const FaceShape& face, const Vec& point);
double nose_albedo(const FaceShape& face, const Vec& point);

}  // namespace rehearse::images::synth
