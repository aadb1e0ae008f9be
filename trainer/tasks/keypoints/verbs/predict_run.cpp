#include "trainer/tasks/keypoints/verbs/predict_run.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <iostream>
#include <map>

#include "data/images/face_file.h"
#include "data/images/picture.h"
#include "trainer/base/error.h"
#include "trainer/base/text/printable.h"
#include "trainer/checkpoint/checkpoint_report.h"
#include "trainer/device/device.h"
#include "trainer/engine/model.h"
#include "trainer/engine/session.h"
#include "trainer/tasks/keypoints/face_drawing.h"
#include "trainer/tasks/keypoints/faces_json.h"
#include "trainer/tasks/keypoints/keypoints_task.h"
#include "trainer/tasks/keypoints/point_errors.h"
#include "trainer/tasks/keypoints/point_figures.h"

namespace rehearse::keypoints {
namespace {

constexpr const char* kRecordsEnding = ".faces.h5";

KeypointsTask& keypoints_of(Model& model, const LoadedCheckpoint& checkpoint) {
  auto* task = dynamic_cast<KeypointsTask*>(&model.task());
  if (task == nullptr)
    throw ConfigError(checkpoint.path.string(), ": expected a checkpoint of the task keypoints; found one of ",
                      model.task().terms().task, "; predict is for pictures of faces");
  return *task;
}

// Writes PNGs of different names into one folder; nowhere where it is "".
class Album {
 public:
  explicit Album(const std::string& folder) : folder_(folder) {
    if (!folder.empty()) make_folder(folder);
  }
  bool is_wanted() const { return !folder_.empty(); }
  void add(const std::string& name, const images::Picture& picture) {
    std::string file = fs::path(name).stem().string();
    if (const int earlier = names_[file]++; earlier > 0) file += concat("_", earlier + 1);
    images::write_png(files_, folder_ / (file + ".png"), picture);
  }

 private:
  fs::path folder_;
  std::map<std::string, int> names_;
  FileLayer files_;
};

void print(const nlohmann::json& line) {
  std::cout << line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << std::endl;
}

// One record of a file, with what is known of its true points.
nlohmann::json record_line(const images::FaceRecords& records, size_t n, std::span<const float> predicted) {
  const std::span<const float> points = records.points_of(n);
  std::vector<float> scaled(predicted.size());
  for (size_t i = 0; i < scaled.size(); ++i) {
    const float half = 0.5f * static_cast<float>(i % 2 == 0 ? records.layout.width : records.layout.height);
    scaled[i] = (predicted[i] - half) / half;
  }
  const PointErrors errors = point_errors(records.layout, scaled, points, eye_distance_px(records.layout, points));
  nlohmann::json line = {{"image", records.source[n]},
                         {"domain", records.domains[records.domain[n]]},
                         {"points", points_json(records.layout, predicted)},
                         {"true_points", points_json(records.layout, points)}};
  if (errors.num_known > 0) line["error"] = errors.error;
  return line;
}

void predict_records(const std::string& path, KeypointsTask& task, Album& album) {
  const images::FaceRecords records = images::read_faces(fs::path(path));
  const images::FaceLayout& layout = task.layout();
  if (!is_same_form(records.layout, layout))
    throw DataError(path, ": expected pictures as the checkpoint takes them, ", form_text(layout), "; found ",
                    form_text(records.layout), "; import them again with this size and these points");
  const std::vector<float> points = task.predict(records.pixels);
  for (size_t n = 0; n < records.size(); ++n) {
    const std::span<const float> predicted =
        std::span(points).subspan(n * 2 * layout.num_points(), 2 * layout.num_points());
    print(record_line(records, n, predicted));
    if (!album.is_wanted()) continue;
    const std::span<const uint8_t> pixels = records.pixels_of(n);
    const images::Picture grey{layout.width, layout.height, 1, {pixels.begin(), pixels.end()}};
    album.add(concat(records.domains[records.domain[n]], "_", n),
              drawn_points(grey, drawing_factor(layout.width), predicted, records.points_of(n)));
  }
}

// A picture of any size, predicted in the checkpoint's; its points are those of the picture as it is.
void predict_picture(const std::string& path, KeypointsTask& task, Album& album) {
  const images::Picture grey = images::grey_of(images::read_picture(path));
  const images::FaceLayout& layout = task.layout();
  std::vector<float> points = task.predict(images::resized(grey, layout.width, layout.height).values);
  for (size_t i = 0; i < points.size(); ++i)
    points[i] *= i % 2 == 0 ? static_cast<float>(grey.width) / static_cast<float>(layout.width)
                            : static_cast<float>(grey.height) / static_cast<float>(layout.height);
  print({{"image", path}, {"points", points_json(layout, points)}});
  if (album.is_wanted())
    album.add(fs::path(path).filename().string(), drawn_points(grey, drawing_factor(grey.width), points, {}));
}

int predict_all(const PredictRequest& request, KeypointsTask& task) {
  const at::NoGradGuard no_gradients;
  Album album(request.png_folder);
  int code = kExitOk;
  for (const std::string& path : request.files) {
    try {
      if (path.ends_with(kRecordsEnding))
        predict_records(path, task, album);
      else
        predict_picture(path, task, album);
    } catch (const DataError& failure) {
      std::cerr << "rehearse: " << printable(failure.what()) << "\n";
      code = kExitData;
    }
  }
  return code;
}

}  // namespace

int predict(const PredictRequest& request) {
  const auto prepare = [](const World&, CommOptions& comm) { comm.timeout_s = 1e6; };  // other ranks only wait
  const auto body = [&](World& world, Communicator&) {
    if (world.rank() != 0) return static_cast<int>(kExitOk);
    const Device device = Device::open(request.device, world, /*is_deterministic=*/true);
    at::set_num_threads(device.host_threads(world));
    const LoadedCheckpoint checkpoint = load_checkpoint(choose_checkpoint(request.checkpoint, request.step), false);
    const auto model = Model::from_checkpoint(checkpoint, device.torch());
    return predict_all(request, keypoints_of(*model, checkpoint));
  };
  return run_in_world({.body = body, .prepare = prepare});
}

}  // namespace rehearse::keypoints
