// Made-up faces with exact points, as record files: FOLDER/<domain>/{train,valid}.faces.h5.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "data/images/face_records.h"
#include "data/images/synth/synth_options.h"
#include "trainer/base/files.h"

namespace rehearse::images::synth {

enum class FaceSet { kTrain, kValid };
const char* name_of(FaceSet set);  // "train", "valid"

struct DrawnFace {
  FaceRecord record;         // hidden points missing as the options say, those beyond the picture always
  std::vector<float> exact;  // [P, 2], of every point, seen or not
  std::vector<bool> hidden;  // [P]
};

// A function of seed, size, domain (its name and spans), set and index.
DrawnFace draw_face(const SynthFacesOptions& options, const FaceDomainOptions& domain, FaceSet set, uint64_t index);
// size x size pixels, the points of kaggle_point_names().
FaceLayout layout_of(const SynthFacesOptions& options);
// All of one set of one domain; equal whatever the number of threads `jobs`. ConfigError when two pictures are equal.
FaceRecords draw_faces(const SynthFacesOptions& options, const FaceDomainOptions& domain, FaceSet set, int jobs);

struct SynthFacesReport {
  std::map<std::string, std::map<std::string, size_t>> pictures;  // by domain, by set
};

// Makes the folders and writes every set that has pictures; what is there is replaced. written(path, pictures) is
// called after each file.
using FacesWritten = std::function<void(const fs::path& path, size_t pictures)>;
SynthFacesReport write_synth_faces(const SynthFacesOptions& options, const fs::path& folder, int jobs, FileLayer& files,
                                   const FacesWritten& written = {});

}  // namespace rehearse::images::synth
