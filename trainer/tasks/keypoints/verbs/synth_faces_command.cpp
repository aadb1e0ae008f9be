#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <iomanip>
#include <iostream>
#include <thread>

#include "data/images/synth/synth_faces.h"
#include "trainer/base/config/config.h"
#include "trainer/base/error.h"
#include "trainer/base/log.h"
#include "trainer/base/text/printable.h"
#include "trainer/base/text/table.h"
#include "trainer/commands/command.h"
#include "trainer/commands/number_checks.h"

namespace rehearse::keypoints {
namespace {

namespace synth = images::synth;

std::string table_of(const synth::SynthFacesReport& report) {
  TextTable table({{"domain", TextTable::kLeft}, {"train"}, {"valid"}});
  for (const auto& [domain, sets] : report.pictures) {
    const auto count = [&sets = sets](const char* set) {
      return std::to_string(sets.count(set) > 0 ? sets.at(set) : size_t{0});
    };
    table.add_row({printable(domain), count("train"), count("valid")});
  }
  return table.text();
}

class SynthFacesCommand : public Command {
 public:
  std::string summary() const override { return "draw faces of several domains with exact points"; }
  std::string examples() const override {
    return "  rehearse synth-faces --out corpora/faces\n"
           "  rehearse synth-faces --out corpora/few --pictures 100 --seed 7\n"
           "  rehearse synth-faces faces.yaml --out corpora/night --set faces.domains.night.like=dark\n";
  }

  void declare(CLI::App& app) override {
    app.add_option("config", config_, "file with a `faces` section; default: frontal, turned and dark faces");
    app.add_option("--out", folder_, "folder of the faces: DOMAIN/train.faces.h5 and DOMAIN/valid.faces.h5")
        ->required();
    app.add_option("--pictures", pictures_, "training pictures per domain, and at most as many for validation")
        ->check(at_least(1));
    app.add_option("--seed", seed_, "replaces faces.seed")->check(at_least(0));
    app.add_option("--jobs", jobs_, "threads (default: the cores of this machine)")->check(at_least(1));
    app.add_option("--set", overrides_, "replaces one value of the file, e.g. faces.size=64");
  }

  int run() override {
    synth::SynthFacesOptions options = read_options();
    if (pictures_ > 0) options.limit_pictures(pictures_);
    if (seed_ >= 0) options.seed = static_cast<uint64_t>(seed_);
    const int jobs = jobs_ > 0 ? jobs_ : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    Log log(Log::Options{});
    FileLayer files;
    const auto start = std::chrono::steady_clock::now();
    const synth::SynthFacesReport report = synth::write_synth_faces(
        options, folder_, jobs, files,
        [&](const fs::path& path, size_t pictures) { log.status(concat(path.string(), ": ", pictures, " pictures")); });
    log.status("");
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    std::cout << table_of(report) << printable(folder_) << " written in " << std::fixed << std::setprecision(1)
              << elapsed.count() << " s\n";
    return kExitOk;
  }

 private:
  synth::SynthFacesOptions read_options() const {
    if (config_.empty() && !overrides_.empty())
      throw ConfigError("--set: expected a file whose values it replaces; found none; name one before --out");
    Config config =
        config_.empty() ? Config::parse("faces: {}", "the embedded faces") : Config::load(config_, overrides_);
    ConfigNode root = config.root();
    ConfigNode section = root.child("faces");
    synth::SynthFacesOptions options = synth::SynthFacesOptions::from(section);
    root.expect_all_read();
    return options;
  }

  std::string config_, folder_;
  int64_t pictures_ = 0;
  int64_t seed_ = -1;
  int jobs_ = 0;
  std::vector<std::string> overrides_;
};

REHEARSE_COMMAND("synth-faces", SynthFacesCommand);

}  // namespace
}  // namespace rehearse::keypoints
