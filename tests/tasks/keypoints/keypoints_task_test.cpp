#include "trainer/tasks/keypoints/keypoints_task.h"

#include <cmath>

#include "data/images/picture.h"
#include "models/torch_prelude.h"
#include "tests/tasks/keypoints/keypoints_support.h"
#include "trainer/tasks/keypoints/faces_json.h"
#include "trainer/tasks/keypoints/keypoints_sums.h"

namespace rehearse::keypoints {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

Parameter& parameter(Task& task, const std::string& name) {
  for (Parameter& one : task.store().parameters())
    if (one.name == name) return one;
  throw std::runtime_error("no parameter " + name);
}

// The head's bias becomes what the task predicts, whatever the picture.
void predict_always(Task& task, const std::vector<float>& scaled) {
  const at::NoGradGuard no_gradients;
  parameter(task, "head.weight").tensor.zero_();
  parameter(task, "head.bias").tensor.copy_(at::tensor(scaled));
}

ForwardContext training_on(const Batch& batch) {
  ForwardContext context;
  context.is_training = true;
  context.ids = batch.ids;
  return context;
}

TEST(KeypointsTask, LossIsTheSumOverKnownCoordinatesAndItsGradientTwiceTheDifference) {
  TaskFixture fixture;
  images::FaceRecord half = small_record(50, "dark");
  half.points = {6, 2, kMissing, kMissing, 4, 4};
  fixture.write("train.faces.h5", records_of({half, small_record(51, "dark")}));
  const auto task = fixture.task();
  const auto set = task->training_set();
  const auto batch = set->load_plain(draws_of({0, 1}), {});
  const auto& faces = static_cast<const FaceBatch&>(*batch);
  const std::vector<float> predicted = {0.1f, -0.2f, 0.3f, -0.4f, 0.5f, 0.6f};
  predict_always(*task, predicted);

  TaskOutput output = task->forward(*batch, training_on(*batch));
  output.loss_sum.backward();
  output.collect();
  double squares[2] = {0, 0};
  std::vector<double> gradient(6, 0.0);
  for (size_t b = 0; b < 2; ++b)
    for (size_t i = 0; i < 6; ++i) {
      const double difference = faces.known[6 * b + i] * (predicted[i] - faces.targets[6 * b + i]);
      squares[b] += difference * difference;
      gradient[i] += 2 * difference;
    }
  EXPECT_EQ(output.normalizer, 10);
  EXPECT_NEAR(output.loss_sum.item<double>(), squares[0] + squares[1], 1e-5);
  for (size_t b = 0; b < 2; ++b) EXPECT_NEAR(output.examples[b].loss, squares[b], 1e-6);
  const at::Tensor of_bias = parameter(*task, "head.bias").tensor.grad();
  for (size_t i = 0; i < 6; ++i) EXPECT_NEAR(of_bias[static_cast<int64_t>(i)].item<double>(), gradient[i], 1e-5) << i;
  EXPECT_EQ(output.sums[kPictures], 2);
  EXPECT_EQ(output.sums[kPoints], 5);
  EXPECT_NEAR(output.sums[kErrors], output.examples[0].error + output.examples[1].error, 1e-12);
}

TEST(KeypointsTask, PicturesOfWeightNothingAndWithoutKnownPointsAddNothing) {
  TaskFixture fixture;
  const auto task = fixture.task();
  const auto set = task->training_set();
  MicroBatch plan = draws_of({0, 1, 2});
  plan.draws[1].is_learned = false;
  const auto batch = set->load_plain(plan, {});
  auto& faces = static_cast<FaceBatch&>(*batch);
  std::fill_n(faces.known.begin() + 12, 6, 0.0f);
  std::fill_n(faces.points.begin() + 12, 6, kMissing);
  TaskOutput all = task->forward(*batch, training_on(*batch));
  all.collect();
  const auto alone = set->load_plain(draws_of({0}), {});
  TaskOutput first = task->forward(*alone, training_on(*alone));
  first.collect();
  EXPECT_EQ(all.normalizer, 6);
  EXPECT_EQ(all.loss_sum.item<float>(), first.loss_sum.item<float>());
  EXPECT_EQ(all.sums, first.sums);
  EXPECT_FALSE(all.examples[1].is_infeasible);
  EXPECT_LT(all.examples[1].error, 1);  // measured all the same
  EXPECT_TRUE(all.examples[2].is_infeasible);
}

TEST(KeypointsTask, NothingLearnedIsNoLoss) {
  TaskFixture fixture;
  const auto task = fixture.task();
  MicroBatch plan = draws_of({0});
  plan.draws[0].is_learned = false;
  const auto batch = task->training_set()->load_plain(plan, {});
  TaskOutput output = task->forward(*batch, training_on(*batch));
  output.collect();
  EXPECT_FALSE(output.loss_sum.defined());
  EXPECT_EQ(output.normalizer, 0);
  ASSERT_EQ(output.examples.size(), 1u);
}

// What the model makes of a picture differs by the rounding of its matrix products; what is made of that not at all.
TEST(KeypointsTask, ResultsDoNotDependOnBatchMates) {
  TaskFixture fixture;
  const auto task = fixture.task();
  const auto set = task->training_set();
  const auto of = [&](const std::vector<uint32_t>& pictures) {
    const auto batch = set->load(draws_of(pictures), {});
    TaskOutput output = task->forward(*batch, training_on(*batch));
    output.collect();
    return output.examples;
  };
  const auto together = of({0, 1, 2, 3, 4, 5, 6});
  for (uint32_t n = 0; n < 7; ++n) EXPECT_NEAR(of({n})[0].loss, together[n].loss, 1e-5) << n;
  predict_always(*task, {0.1f, -0.2f, 0.3f, -0.4f, 0.5f, 0.6f});
  const auto same = of({0, 1, 2, 3, 4, 5, 6});
  for (uint32_t n = 0; n < 7; ++n) {
    EXPECT_EQ(of({n})[0].loss, same[n].loss) << n;
    EXPECT_EQ(of({n})[0].error, same[n].error) << n;
  }
}

TEST(KeypointsTask, ScoresInTheOrderOfItsTerms) {
  TaskFixture fixture;
  const auto task = fixture.task();
  predict_always(*task, {0.5f, -1.0f / 3, -0.5f, -1.0f / 3, 0.05f, 1.0f / 3});  // the nose 0.2 pixels aside
  const auto set = task->validation_set();
  const auto batch = set->load_plain(draws_of({2, 0}), {});
  const std::vector<ExampleScore> scores = task->score(*set, *batch, true);
  ASSERT_EQ(scores.size(), 2u);
  EXPECT_EQ(scores[0].example, 2u);
  const ExampleScore& score = scores[0];
  EXPECT_NEAR(score.error, 0.05 / 3, 1e-6);
  EXPECT_NEAR(score.sums[kScoreError], 0.05 / 3, 1e-6);
  EXPECT_EQ(score.sums[kScorePictures], 1);
  EXPECT_NEAR(score.sums[kScoreSquares], 0.0025, 1e-6);
  EXPECT_EQ(score.sums[kScoreCoordinates], 6);
  EXPECT_EQ(score.sums[kScoreWithin10], 3);
  EXPECT_EQ(score.sums[kScorePoints], 3);
  EXPECT_EQ(score.detail["points"]["nose_tip"], nlohmann::json({4.2, 4.0}));
  EXPECT_EQ(score.detail["true_points"]["nose_tip"], nlohmann::json({4.0, 4.0}));
  EXPECT_NEAR(score.detail["point_errors"]["nose_tip"].get<double>(), 0.05, 1e-5);
  EXPECT_TRUE(task->score(*set, *batch, false)[0].detail.is_null());
  EXPECT_THAT(task->detail_table({{"dark", {&scores[0].detail}}}), HasSubstr("5.0 %"));
}

TEST(KeypointsTask, AnAnswerThatIsNoNumberIsEmptyAndWrong) {
  TaskFixture fixture;
  const auto task = fixture.task();
  predict_always(*task, {kMissing, 0, 0, 0, 0, 0});
  const auto set = task->validation_set();
  const ExampleScore score = task->score(*set, *set->load_plain(draws_of({0}), {}), true)[0];
  EXPECT_TRUE(score.is_empty);
  EXPECT_EQ(score.error, 1);
  EXPECT_EQ(score.loss, 24);
  EXPECT_TRUE(score.detail["points"]["left_eye_center"].is_null());
}

TEST(KeypointsTask, DrawsAnAnswerOverItsPicture) {
  TaskFixture fixture;
  const auto task = fixture.task();
  const auto set = task->validation_set();
  const std::vector<ExampleScore> scores = task->score(*set, *set->load_plain(draws_of({1}), {}), true);
  ASSERT_TRUE(task->draws_pictures());
  const std::string png = task->picture(*set, scores[0]);
  const images::Picture picture = images::decode_png(std::as_bytes(std::span(png)), "drawn");
  EXPECT_EQ(picture.width, 8 * 50);
  EXPECT_EQ(picture.channels, 3);
}

TEST(KeypointsTask, PredictsPixels) {
  TaskFixture fixture;
  const auto task = fixture.task();
  predict_always(*task, {0.5f, -1.0f / 3, -0.5f, -1.0f / 3, 0, 1.0f / 3});
  const std::vector<float> points = task->predict(std::vector<uint8_t>(48 * 70, 9));
  ASSERT_EQ(points.size(), 70 * 6u);
  const std::vector<float> expected = {6, 2, 2, 2, 4, 4};
  for (size_t i = 0; i < 6; ++i) EXPECT_NEAR(points[69 * 6 + i], expected[i], 1e-5);
}

TEST(KeypointsTask, AModelThatDoesNotEndInOneFrameIsRefusedWithARemedy) {
  TaskFixture fixture;
  const auto failure = [&](const std::string& blocks) {
    return failure_of<ConfigError>([&] { fixture.task(fixture.model(blocks)); });
  };
  EXPECT_THAT(failure("{type: conv2d, width: 8}"), HasSubstr("found 4; let the first dense block take all of them: "
                                                             "{type: dense, frames: 4}"));
  EXPECT_THAT(failure("{type: dense, frames: 9}"), HasSubstr("found 0"));
  EXPECT_THAT(failure("{type: conv2d, width: 4}, {type: dense, frames: 4}"),
              HasSubstr("width: expected that of the pictures, 8; found 4"));
}

TEST(KeypointsTask, SetsOfAnotherFormAreRefused) {
  TaskFixture fixture;
  images::FaceCollector collector(images::layout_of(8, 6, {"nose_tip"}));
  std::string reason;
  collector.add({std::vector<uint8_t>(48, 7), {1, 1}, "dark", "a"}, reason);
  fixture.write("valid.faces.h5", std::move(collector).finish());
  const auto task = fixture.task();
  EXPECT_THAT(failure_of<DataError>([&] { task->validation_set(); }),
              StartsWith("data.valid: " + fixture.path("valid.faces.h5")));
  EXPECT_THAT(failure_of<DataError>([&] { task->scored_set(fixture.path("valid.faces.h5")); }),
              HasSubstr("found 8 x 6 pixels with 1 points"));
}

TEST(KeypointsTask, NoTrainingFilesAreAConfigError) {
  Config config = Config::parse(TaskFixture::model());
  const Task::Context context{.root = config.root(), .all_reduce_sum = {}};
  EXPECT_THAT(failure_of<ConfigError>([&] { KeypointsTask({}, context); }), HasSubstr("synth-faces"));
}

TEST(KeypointsTask, ACheckpointBringsSizeAndPoints) {
  TaskFixture fixture;
  LoadedCheckpoint checkpoint;
  checkpoint.path = "runs/a/checkpoints/step-00000010";
  checkpoint.files = fixture.task()->files();
  EXPECT_EQ(fixture.task(fixture.model(), &checkpoint)->layout(), small_layout());
  checkpoint.files.clear();
  EXPECT_THAT(failure_of<DataError>([&] { fixture.task(fixture.model(), &checkpoint); }),
              HasSubstr("step-00000010/faces.json"));
}

TEST(KeypointsTask, AdoptsTheRowsOfPointsThatBothKnow) {
  TaskFixture fixture;
  const auto task = fixture.task();
  LoadedCheckpoint checkpoint;
  checkpoint.files[kFacesFile] = faces_json(small_layout());
  EXPECT_FALSE(task->adopt(checkpoint).has_value());
  checkpoint.files[kFacesFile] = faces_json(images::layout_of(8, 6, {"chin", "nose_tip"}));
  const std::optional<RowMap> map = task->adopt(checkpoint);
  ASSERT_TRUE(map.has_value());
  EXPECT_EQ(map->own_rows, 6);
  EXPECT_EQ(map->old_rows, 4);
  ASSERT_EQ(map->rows.size(), 2u);
  EXPECT_EQ(map->rows[0].first, 4);
  EXPECT_EQ(map->rows[1].first, 5);
  checkpoint.files[kFacesFile] = faces_json(images::layout_of(16, 6, few_names()));
  EXPECT_THAT(failure_of<ConfigError>([&] { task->adopt(checkpoint); }), HasSubstr("16 x 6"));
}

TEST(KeypointsTask, PicturesThatAreInBothSetsAreRemarked) {
  TaskFixture fixture;
  fixture.write("valid.faces.h5", small_records(4, 7));  // 7 and 8 are trained on
  const auto task = fixture.task();
  const auto training = task->training_set(), validation = task->validation_set();
  nlohmann::json line;
  const std::vector<Remark> remarks = task->start_remarks(*training, validation.get(), 1, line);
  ASSERT_EQ(remarks.size(), 2u);
  EXPECT_EQ(remarks[1].level, Remark::kWarning);
  EXPECT_THAT(remarks[1].text, StartsWith("2 of 4 pictures"));
  EXPECT_EQ(line["missing_points"], 0.0);
}

class Heard : public Findings {
 public:
  void title(const std::string& text) override { all += text + "\n"; }
  void text(const std::string& lines) override { all += lines; }
  void warn(const std::string& line) override { all += "warning: " + line + "\n"; }
  void refuse(int exit_code, const std::string& line) override { all += concat(exit_code, ": ", line, "\n"); }
  std::string all;
};

TEST(KeypointsTask, AnExaminationCountsPicturesAndWarnsOfPointsThatAreMostlyMissing) {
  TaskFixture fixture;
  images::FaceRecord one = small_record(60, "dark"), pointless = small_record(61, "dark");
  one.points[4] = one.points[5] = kMissing;
  pointless.points.assign(6, kMissing);
  fixture.write("train.faces.h5", records_of({one, pointless}));
  Heard heard;
  EXPECT_TRUE(fixture.task()->examine(heard, 1, fixture.path("list.jsonl")));
  EXPECT_THAT(heard.all, HasSubstr("dark           1         1"));
  EXPECT_THAT(heard.all, HasSubstr("warning: nose_tip is missing in 100 % of the pictures"));
  EXPECT_THAT(read_text(fixture.path("list.jsonl")), HasSubstr("no known point"));
  fixture.write("train.faces.h5", records_of({pointless}));
  EXPECT_FALSE(fixture.task()->examine(heard, 1, ""));
  EXPECT_THAT(heard.all, HasSubstr("3: data.train"));
}

TEST(KeypointsTask, SetsMayBeAskedForTwice) {
  TaskFixture fixture;
  const auto task = fixture.task();
  const auto one = task->training_set(), other = task->training_set();
  EXPECT_EQ(one->dataset.hash(), other->dataset.hash());
  EXPECT_EQ(task->training_ids().size(), one->dataset.size());
}

TEST(PublishedNetwork, HasItsParametersAndShapes) {
  TemporaryFolder folder("keypoints");
  images::FaceCollector collector(images::layout_of(96, 96, images::kaggle_point_names()));
  std::string reason;
  collector.add({std::vector<uint8_t>(96 * 96, 7), std::vector<float>(30, 48), "a", "a"}, reason);
  FileLayer files;
  images::write_faces(files, folder / "a.faces.h5", std::move(collector).finish());
  for (const auto& [name, parameters] :
       {std::pair("keypoints.yaml", 1'603'502), std::pair("keypoints_small.yaml", 0)}) {
    Config config = Config::load(concat(REHEARSE_SOURCE_DIR, "/configs/", name),
                                 {concat("data.train=[", folder / "a.faces.h5", "]")});
    const Task::Context context{.root = config.root(), .all_reduce_sum = {}};
    KeypointsTask task({}, context);
    int64_t count = 0;
    for (const Parameter& parameter : task.store().parameters()) count += parameter.tensor.numel();
    if (parameters > 0) {
      EXPECT_EQ(count, parameters);
    }
    EXPECT_LE(count, 1'603'502) << name;
    EXPECT_EQ(task.describe().back()[0], "head");
    EXPECT_EQ(task.describe().back()[3], "1");
  }
}

}  // namespace
}  // namespace rehearse::keypoints
