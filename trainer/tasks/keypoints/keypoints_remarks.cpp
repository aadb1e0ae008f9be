// What the task tells people: at a run's start, about scores, and to doctor.
#include <cmath>
#include <map>
#include <set>

#include "data/images/face_file.h"
#include "trainer/base/error.h"
#include "trainer/base/files.h"
#include "trainer/base/text/printable.h"
#include "trainer/base/text/table.h"
#include "trainer/tasks/keypoints/face_drawing.h"
#include "trainer/tasks/keypoints/faces_json.h"
#include "trainer/tasks/keypoints/keypoints_task.h"
#include "trainer/tasks/keypoints/point_figures.h"

namespace rehearse::keypoints {
namespace {

constexpr double kOftenMissing = 0.5;  // a share of the pictures

size_t num_common(const std::vector<uint64_t>& one, const std::vector<uint64_t>& other) {
  const std::set<uint64_t> known(one.begin(), one.end());
  size_t common = 0;
  for (const uint64_t id : other) common += known.count(id);
  return common;
}

std::vector<size_t> known_by_point(const images::FaceRecords& records) {
  std::vector<size_t> known(records.layout.num_points(), 0);
  for (size_t n = 0; n < records.size(); ++n)
    for (size_t p = 0; p < known.size(); ++p) known[p] += !std::isnan(records.points_of(n)[2 * p]);
  return known;
}

double missing_share(const images::FaceRecords& records) {
  size_t known = 0;
  for (const size_t count : known_by_point(records)) known += count;
  const double all = static_cast<double>(records.size() * records.layout.num_points());
  return all > 0 ? 1 - static_cast<double>(known) / all : 0;
}

std::string percent(double share) {
  return concat(std::round(1000 * share) / 10, " %");
}

std::string shared_pictures(size_t common, size_t all) {
  return concat(common, " of ", all, " pictures of data.valid are in data.train, too: their error says little");
}

std::string domain_table(const Dataset& dataset) {
  std::map<std::string, std::pair<size_t, size_t>> counts;  // used, left out
  for (const uint32_t domain : dataset.domain) ++counts[dataset.domains[domain]].first;
  for (const Rejection& rejection : dataset.rejections) ++counts[rejection.domain].second;
  TextTable table({{"domain", TextTable::kLeft}, {"pictures"}, {"left out"}});
  for (const auto& [domain, count] : counts)
    table.add_row({printable(domain), std::to_string(count.first), std::to_string(count.second)});
  return table.text();
}

void write_rejections(const std::string& path, const std::vector<Rejection>& rejections) {
  std::string text;
  for (const Rejection& one : rejections)
    text += nlohmann::json{{"source", one.name}, {"domain", one.domain}, {"reason", one.reason}}.dump() + "\n";
  FileLayer files;
  replace_text(files, path, text);
}

}  // namespace

std::vector<Remark> KeypointsTask::start_remarks(const ExampleSet& training, const ExampleSet* validation,
                                                 uint64_t /*parameters*/, nlohmann::json& line) {
  const auto& set = static_cast<const KeypointsSet&>(training);
  const double missing = missing_share(set.records());
  line["missing_points"] = missing;
  std::vector<Remark> remarks = {{Remark::kInfo, concat("pictures of ", form_text(layout_), "; ", percent(missing),
                                                        " of the points are missing")}};
  if (const size_t left_out = training.dataset.rejections.size(); left_out > 0)
    remarks.push_back({Remark::kWarning, concat(left_out, " pictures without a known point are left out")});
  if (validation == nullptr) return remarks;
  if (const size_t common = num_common(training.dataset.ids, validation->dataset.ids); common > 0)
    remarks.push_back({Remark::kWarning, shared_pictures(common, validation->dataset.size())});
  return remarks;
}

std::string KeypointsTask::detail_table(const std::vector<ScoredDetails>& sets) const {
  return point_table(layout_, sets);
}

std::string KeypointsTask::picture(const ExampleSet& any, const ExampleScore& score) {
  const images::FaceRecords& records = static_cast<const KeypointsSet&>(any).records();
  const std::span<const uint8_t> pixels = records.pixels_of(score.example);
  images::Picture grey = images::Picture::blank(layout_.width, layout_.height, 1, 0);
  grey.values.assign(pixels.begin(), pixels.end());
  const std::vector<std::byte> png =
      images::encode_png(drawn_points(grey, drawing_factor(layout_.width), points_from(layout_, score.detail["points"]),
                                      points_from(layout_, score.detail["true_points"])));
  return {reinterpret_cast<const char*>(png.data()), png.size()};
}

std::vector<std::vector<std::string>> KeypointsTask::describe() const {
  std::vector<std::vector<std::string>> rows;
  for (const AcousticModel::BlockSummary& block : model_.summary(layout_.height))
    rows.push_back({block.name, block.name == "head" ? "linear" : block.type, std::to_string(block.input_frames),
                    std::to_string(block.output_frames), std::to_string(block.output_channels),
                    std::to_string(block.num_parameters)});
  return rows;
}

std::string KeypointsTask::describe_note() const {
  return concat("lengths are rows of a picture; ", form_text(layout_));
}

std::optional<Probe> KeypointsTask::probe(const ProbeRequest& request) {
  if (request.seconds)
    throw ConfigError("--seconds: expected none, pictures have no duration; found ", *request.seconds);
  const int64_t size = request.batch > 0 ? request.batch : std::max<int64_t>(1, static_cast<int64_t>(request.budget));
  auto pixels = std::make_shared<std::vector<float>>(static_cast<size_t>(size) * layout_.num_pixels());
  for (size_t i = 0; i < pixels->size(); ++i) (*pixels)[i] = static_cast<float>(RandomKey(1).uniform(i));
  Probe probe;
  probe.model = &model_;
  const int64_t height = layout_.height, width = layout_.width;
  const at::Tensor pictures = at::from_blob(pixels->data(), {size, height, width}, at::kFloat).clone();
  probe.input = {pictures, std::vector<int64_t>(static_cast<size_t>(size), height)};
  probe.loss = [](const Sequence& output) { return (output.x - 0.5).square().sum(); };
  probe.answer = [this, pixels](Precision precision) {
    ForwardContext context;
    context.precision = precision;
    return coordinates(*pixels, context);
  };
  return probe;
}

bool KeypointsTask::examine(Findings& findings, int /*threads*/, const std::string& list_path) {
  findings.title("Pictures");
  const KeypointsSet set(training_records(), augment_, seed_);
  findings.text(domain_table(set.dataset));
  if (!list_path.empty()) write_rejections(list_path, set.dataset.rejections);
  if (set.dataset.size() == 0) {
    findings.refuse(kExitData, "data.train: expected a picture with a known point; found none");
    return false;
  }
  const std::vector<size_t> known = known_by_point(set.records());
  for (size_t p = 0; p < known.size(); ++p)
    if (const double missing = 1 - static_cast<double>(known[p]) / static_cast<double>(set.dataset.size());
        missing > kOftenMissing)
      findings.warn(concat(layout_.point_names[p], " is missing in ", percent(missing), " of the pictures"));
  if (const auto valid = validation_set())
    if (const size_t common = num_common(set.dataset.ids, valid->dataset.ids); common > 0)
      findings.warn(shared_pictures(common, valid->dataset.size()));
  return true;
}

}  // namespace rehearse::keypoints
