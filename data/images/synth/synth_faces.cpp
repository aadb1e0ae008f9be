#include "data/images/synth/synth_faces.h"

#include <algorithm>
#include <limits>
#include <thread>

#include "data/images/face_file.h"
#include "data/images/synth/face_scene.h"
#include "trainer/base/error.h"
#include "trainer/base/random.h"

namespace rehearse::images::synth {
namespace {

bool is_inside(float value, int64_t side) {
  return value >= 0 && value <= static_cast<float>(side);
}

}  // namespace

const char* name_of(FaceSet set) {
  return set == FaceSet::kTrain ? "train" : "valid";
}

FaceLayout layout_of(const SynthFacesOptions& options) {
  const int size = static_cast<int>(options.size);
  return images::layout_of(size, size, kaggle_point_names());
}

DrawnFace draw_face(const SynthFacesOptions& options, const FaceDomainOptions& domain, FaceSet set, uint64_t index) {
  const RandomKey key = RandomKey(options.seed).with("faces").with(domain.name).with(name_of(set)).with(index);
  const FaceScene scene = FaceScene::drawn(domain, static_cast<int>(options.size), key);
  DrawnFace drawn;
  drawn.exact = scene.points();
  drawn.hidden = scene.hidden();
  drawn.record = {.pixels = scene.pixels(key.with("noise")),
                  .points = drawn.exact,
                  .domain = domain.name,
                  .source = concat(domain.name, "/", name_of(set), "/", index)};
  const RandomKey missing = key.with("missing");
  for (size_t p = 0; p < drawn.hidden.size(); ++p) {
    float &x = drawn.record.points[2 * p], &y = drawn.record.points[2 * p + 1];
    const bool is_unmarked = drawn.hidden[p] && missing.uniform(p) < options.hidden_missing;
    if (is_unmarked || !is_inside(x, options.size) || !is_inside(y, options.size))
      x = y = std::numeric_limits<float>::quiet_NaN();
  }
  return drawn;
}

FaceRecords draw_faces(const SynthFacesOptions& options, const FaceDomainOptions& domain, FaceSet set, int jobs) {
  const auto count = static_cast<size_t>(set == FaceSet::kTrain ? domain.train : domain.valid);
  const auto num_threads = std::min<size_t>(count, static_cast<size_t>(std::max(jobs, 1)));
  std::vector<FaceRecord> drawn(count);
  {
    std::vector<std::jthread> threads;
    for (size_t thread = 0; thread < num_threads; ++thread)
      threads.emplace_back([&, thread] {
        for (size_t i = thread; i < count; i += num_threads) drawn[i] = draw_face(options, domain, set, i).record;
      });
  }
  FaceCollector collector(layout_of(options));
  for (const FaceRecord& record : drawn) {
    std::string reason;
    if (!collector.add(record, reason))
      throw ConfigError("synth-faces: ", record.source, ": ", reason, "; give the domain more noise or light");
  }
  return std::move(collector).finish();
}

SynthFacesReport write_synth_faces(const SynthFacesOptions& options, const fs::path& folder, int jobs, FileLayer& files,
                                   const FacesWritten& written) {
  SynthFacesReport report;
  for (const FaceDomainOptions& domain : options.domains)
    for (const FaceSet set : {FaceSet::kTrain, FaceSet::kValid}) {
      const FaceRecords records = draw_faces(options, domain, set, jobs);
      if (records.size() == 0) continue;
      make_folder(folder / domain.name);
      const fs::path path = folder / domain.name / concat(name_of(set), ".faces.h5");
      write_faces(files, path, records);
      report.pictures[domain.name][name_of(set)] = records.size();
      if (written) written(path, records.size());
    }
  return report;
}

}  // namespace rehearse::images::synth
