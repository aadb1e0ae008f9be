#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <iomanip>
#include <iostream>
#include <sstream>
#include <thread>

#include "data/speech/synth/espeak.h"
#include "data/speech/synth/synth_corpus.h"
#include "data/speech/synth/synth_options.h"
#include "trainer/base/config/config.h"
#include "trainer/base/error.h"
#include "trainer/base/log.h"
#include "trainer/commands/command.h"
#include "trainer/commands/number_checks.h"

namespace rehearse {
namespace {

std::string table_of(const synth::SynthReport& report) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(1) << std::left << std::setw(10) << "domain" << std::right;
  for (const char* split : {"train", "valid", "test"}) out << std::setw(8) << split << std::setw(9) << "minutes";
  out << '\n';
  for (const auto& [domain, sets] : report.sets) {
    out << std::left << std::setw(10) << domain << std::right;
    for (const char* split : {"train", "valid", "test"})
      out << std::setw(8) << sets.at(split).utterances << std::setw(9) << sets.at(split).seconds / 60;
    out << '\n';
  }
  return out.str();
}

class SynthCommand : public Command {
 public:
  std::string summary() const override { return "make a speech corpus of several domains with espeak-ng"; }
  std::string examples() const override {
    return "rehearse synth configs/quickstart_corpus.yaml --out corpora/quickstart\n"
           "rehearse synth configs/quickstart_corpus.yaml --out /tmp/tiny --utterances 20 --seed 7";
  }

  void declare(CLI::App& app) override {
    app.add_option("config", config_, "corpus file with a `synth` section")->required();
    app.add_option("--out", folder_, "folder of the corpus")->required();
    app.add_option("--utterances", utterances_, "training utterances per domain, and at most as many in other sets")
        ->check(at_least(1));
    app.add_option("--seed", seed_, "replaces synth.seed")->check(at_least(0));
    app.add_option("--jobs", jobs_, "threads (default: the cores of this machine)")->check(at_least(1));
    app.add_option("--set", overrides_, "replaces one value, e.g. synth.test_utterances=20");
  }

  int run() override {
    Config config = Config::load(config_, overrides_);
    ConfigNode root = config.root();
    ConfigNode section = root.child("synth");
    synth::SynthOptions options = synth::SynthOptions::from(section);
    root.expect_all_read();
    if (utterances_ > 0) options.limit_utterances(utterances_);
    if (seed_ >= 0) options.seed = static_cast<uint64_t>(seed_);
    const int jobs = jobs_ > 0 ? jobs_ : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));

    Log log(Log::Options{});
    const auto start = std::chrono::steady_clock::now();
    const synth::SynthReport report = synth::write_synth_corpus(options, synth::Espeak(), folder_, jobs, log);
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    std::cout << table_of(report) << report.word_types << " word types; ";
    if (report.was_complete)
      std::cout << folder_ << " was complete already\n";
    else
      std::cout << folder_ << " written in " << std::fixed << std::setprecision(1) << elapsed.count() << " s\n";
    return kExitOk;
  }

 private:
  std::string config_;
  std::string folder_;
  int64_t utterances_ = 0;
  int64_t seed_ = -1;
  int jobs_ = 0;
  std::vector<std::string> overrides_;
};

REHEARSE_COMMAND("synth", SynthCommand);

}  // namespace
}  // namespace rehearse
