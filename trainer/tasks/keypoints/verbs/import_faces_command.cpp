#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>

#include "data/images/face_file.h"
#include "data/images/import/kaggle_csv.h"
#include "data/images/import/point_lines.h"
#include "data/speech/import/rejected_source.h"
#include "trainer/base/error.h"
#include "trainer/base/log.h"
#include "trainer/base/text/printable.h"
#include "trainer/base/text/words.h"
#include "trainer/commands/command.h"
#include "trainer/commands/number_checks.h"

namespace rehearse::keypoints {
namespace {

constexpr size_t kListedRejections = 10;
constexpr const char* kLines = "points.jsonl";  // of a folder of pictures
constexpr int kLargestSide = 4096;

class ImportFacesCommand : public Command {
 public:
  std::string summary() const override { return "write face records for a table or a folder of pictures with points"; }
  std::string examples() const override {
    return "  rehearse import-faces training.csv --out corpora/kaggle\n"
           "  rehearse import-faces photos --out corpora/photos --domain office --valid-share 0.2\n"
           "  rehearse import-faces photos/points.jsonl --out corpora/small --width 64 --height 64\n";
  }

  void declare(CLI::App& app) override {
    app.add_option("SRC", source_,
                   "a table as in Kaggle's facial keypoints (.csv, .csv.gz); a file of points in JSON Lines; or a "
                   "folder of PNG and PGM pictures with its points.jsonl")
        ->required();
    app.add_option("--out", folder_, "folder for train.faces.h5, valid.faces.h5 and rejected.jsonl")->required();
    app.add_option("--domain", domain_, "domain of pictures that name none")->capture_default_str();
    app.add_option("--width", width_, "pixels a row of the records")
        ->check(whole_between(1, kLargestSide))
        ->capture_default_str();
    app.add_option("--height", height_, "rows of the records")
        ->check(whole_between(1, kLargestSide))
        ->capture_default_str();
    app.add_option("--valid-share", valid_share_, "of the pictures that are kept for validation")
        ->check(number_between(0, 1))
        ->capture_default_str();
    app.add_option("--max-rejected-share", max_rejected_share_, "more left out than this ends with exit code 3")
        ->check(number_between(0, 1))
        ->capture_default_str();
  }

  int run() override {
    const images::FaceImport found = import();
    make_folder(folder_);
    images::write_rejected_pictures(files_, fs::path(folder_) / "rejected.jsonl", found.rejected);
    const images::FaceSplit split = images::split_by_id(found.records, valid_share_);
    write("train", split.train);
    write("valid", split.valid);
    report(found, split);
    std::vector<RejectedSource> rejected;
    for (const images::RejectedPicture& one : found.rejected) rejected.push_back({one.source, one.reason});
    expect_few_rejected(folder_, rejected, found.records.size(), max_rejected_share_);
    return kExitOk;
  }

 private:
  images::FaceImport import() const {
    fs::path source = source_;
    if (source_.ends_with(".csv") || source_.ends_with(".csv.gz"))
      return images::import_kaggle_csv(source, {.width = width_, .height = height_, .domain = domain_});
    if (fs::is_directory(source)) source /= kLines;
    if (!fs::is_regular_file(source))
      throw ConfigError("SRC: expected a table (.csv, .csv.gz), a file of points, or a folder with its ", kLines,
                        "; found ", quoted(source_));
    return images::import_point_lines(source,
                                      {.width = width_, .height = height_, .domain = domain_, .point_names = {}});
  }

  // A set without pictures leaves no file of an earlier import behind.
  void write(const std::string& name, const images::FaceRecords& records) {
    const fs::path path = fs::path(folder_) / (name + ".faces.h5");
    if (records.size() > 0)
      images::write_faces(files_, path, records);
    else
      files_.remove_tree(path);
  }

  void report(const images::FaceImport& found, const images::FaceSplit& split) const {
    Log log(Log::Options{});
    if (!found.ignored.empty()) log.warn("columns without a point: ", joined(found.ignored));
    for (size_t i = 0; i < std::min(kListedRejections, found.rejected.size()); ++i)
      log.warn("left out: ", found.rejected[i].source, ": ", found.rejected[i].reason);
    const std::string folder = printable(folder_);
    if (!found.rejected.empty())
      std::cout << left_out_text(found.rejected.size(), found.records.size()) << ", all in " << folder
                << "/rejected.jsonl\n";
    const images::FaceLayout& layout = found.records.layout;
    std::cout << "imported " << found.records.size() << " pictures of " << layout.width << " x " << layout.height
              << " with " << layout.num_points() << " points to " << folder << ": " << split.train.size()
              << " to train on, " << split.valid.size() << " for validation\n"
              << std::flush;
  }

  std::string source_, folder_, domain_ = "faces";
  int width_ = 96, height_ = 96;
  double valid_share_ = 0.1;
  double max_rejected_share_ = 0.2;
  FileLayer files_;
};

REHEARSE_COMMAND("import-faces", ImportFacesCommand);

}  // namespace
}  // namespace rehearse::keypoints
