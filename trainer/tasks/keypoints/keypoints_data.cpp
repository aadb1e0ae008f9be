// The task's files: which pictures it learns from, and what its checkpoints say about them.
#include "data/images/face_file.h"
#include "trainer/base/error.h"
#include "trainer/tasks/keypoints/faces_json.h"
#include "trainer/tasks/keypoints/keypoints_task.h"

namespace rehearse::keypoints {
namespace {

images::FaceRecords read_files(const std::vector<std::string>& paths) {
  return images::read_faces(std::vector<fs::path>(paths.begin(), paths.end()));
}

}  // namespace

images::FaceRecords read_training(const std::vector<std::string>& paths) {
  if (paths.empty())
    throw ConfigError(
        "data.train: expected at least one file of face records (*.faces.h5); found none; make some with "
        "rehearse synth-faces or rehearse import-faces");
  return read_files(paths);
}

images::FaceLayout stored_layout(const LoadedCheckpoint& checkpoint) {
  const std::string where = (checkpoint.path / kFacesFile).string();
  const auto found = checkpoint.files.find(kFacesFile);
  if (found == checkpoint.files.end())
    throw DataError(where, ": expected size and points of the pictures; found none; is it a checkpoint of keypoints?");
  return layout_from(found->second, where);
}

images::FaceRecords KeypointsTask::read(const std::vector<std::string>& paths, const char* key) const {
  images::FaceRecords records = read_training(paths);
  if (!is_same_form(records.layout, layout_))
    throw DataError(key, ": ", paths[0], ": expected pictures as the model takes them, ", form_text(layout_),
                    "; found ", form_text(records.layout), "; import them again with this size and these points");
  return records;
}

const images::FaceRecords& KeypointsTask::training_records() {
  if (!training_records_) training_records_ = read(train_, "data.train");
  return *training_records_;
}

std::unique_ptr<ExampleSet> KeypointsTask::set_of(const images::FaceRecords& records, const std::string& where) const {
  auto set = std::make_unique<KeypointsSet>(records, augment_, seed_);
  if (set->dataset.size() == 0)
    throw DataError(where, ": expected a picture with a known point; found none among ", records.size());
  return set;
}

std::unique_ptr<ExampleSet> KeypointsTask::training_set() {
  std::unique_ptr<ExampleSet> set = set_of(training_records(), "data.train");
  training_records_.reset();  // the set has its own
  return set;
}

std::unique_ptr<ExampleSet> KeypointsTask::validation_set() {
  if (valid_.empty()) return nullptr;
  return set_of(read(valid_, "data.valid"), "data.valid");
}

std::unique_ptr<ExampleSet> KeypointsTask::scored_set(const std::string& path) {
  return set_of(read({path}, "evaluate"), path);
}

std::vector<std::pair<uint64_t, std::string>> KeypointsTask::training_ids() {
  std::vector<std::pair<uint64_t, std::string>> ids;
  for (const std::string& path : train_) {
    if (!fs::exists(path)) continue;
    const images::FaceRecords records = images::read_faces(fs::path(path));
    for (size_t n = 0; n < records.size(); ++n) ids.emplace_back(records.id[n], records.domains[records.domain[n]]);
  }
  return ids;
}

std::map<std::string, std::string> KeypointsTask::files() const {
  return {{kFacesFile, faces_json(layout_)}};
}

nlohmann::json KeypointsTask::facts() const {
  return {{"faces", {{"width", layout_.width}, {"height", layout_.height}, {"points", layout_.point_names}}}};
}

std::optional<RowMap> KeypointsTask::adopt(const LoadedCheckpoint& checkpoint) {
  const images::FaceLayout old = stored_layout(checkpoint);
  if (old.width != layout_.width || old.height != layout_.height)
    throw ConfigError(checkpoint.path.string(), ": expected a model for the pictures of data.train, ",
                      form_text(layout_), "; found one for ", form_text(old),
                      "; import the pictures again in the checkpoint's size");
  if (is_same_form(old, layout_)) return std::nullopt;
  RowMap map{.prefix = "head.",
             .own_rows = static_cast<int64_t>(2 * layout_.num_points()),
             .old_rows = static_cast<int64_t>(2 * old.num_points()),
             .rows = {},
             .said = ""};
  for (size_t own = 0; own < layout_.num_points(); ++own)
    for (size_t other = 0; other < old.num_points(); ++other)
      if (layout_.point_names[own] == old.point_names[other])
        for (size_t axis = 0; axis < 2; ++axis)
          map.rows.emplace_back(static_cast<int64_t>(2 * own + axis), static_cast<int64_t>(2 * other + axis));
  map.said = concat("the points differ from the checkpoint's: ", map.rows.size() / 2, " of ", layout_.num_points(),
                    " are copied, the others start new");
  return map;
}

}  // namespace rehearse::keypoints
