// What a checkpoint says about the pictures it was trained on: faces.json (README.md).
#pragma once

#include <string>

#include "data/images/face_records.h"

namespace rehearse::keypoints {

constexpr const char* kFacesFile = "faces.json";

std::string faces_json(const images::FaceLayout& layout);
// DataError "where: …" for anything else.
images::FaceLayout layout_from(const std::string& json, const std::string& where);

// Size and names of points agree; which of them change places in a mirror matters to training alone.
bool is_same_form(const images::FaceLayout& one, const images::FaceLayout& other);
// "96 x 96 pixels with 15 points (left_eye_center, right_eye_center, …)"
std::string form_text(const images::FaceLayout& layout);

}  // namespace rehearse::keypoints
