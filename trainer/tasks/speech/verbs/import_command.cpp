// rehearse import: foreign corpora to manifests.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>

#include "data/speech/import/import_corpus.h"
#include "data/speech/utterance_fields.h"
#include "trainer/base/error.h"
#include "trainer/base/log.h"
#include "trainer/base/registry.h"
#include "trainer/base/text/printable.h"
#include "trainer/commands/command.h"
#include "trainer/commands/number_checks.h"

namespace rehearse {
namespace {

constexpr size_t kListedRejections = 10;
constexpr size_t kProgressEvery = 50;

class ImportCommand : public Command {
 public:
  std::string summary() const override { return "write manifests for a corpus in another project's layout"; }

  std::string examples() const override {
    return "rehearse import librispeech LibriSpeech --out manifests/librispeech\n"
           "rehearse import commonvoice cv-corpus/ru --out manifests/cv_ru --domain crowd_ru\n"
           "rehearse import mls mls_german --out manifests/mls_de --lang de\n"
           "rehearse import nemo train_manifest.json --out manifests/calls --domain phone --channel 0";
  }

  void declare(CLI::App& app) override {
    app.add_option("LAYOUT", layout_, "layout of the source: " + layouts())->required();
    app.add_option("SRC", source_, "folder or file of the source")->required();
    app.add_option("--out", folder_, "folder for manifest.jsonl, a manifest per subset, and rejected.jsonl")
        ->required();
    app.add_option("--domain", request_.domain,
                   "domain of every utterance; default: the source's own, or named after it");
    app.add_option("--lang", request_.lang, "language of every utterance, such as de; default: what the source says");
    app.add_option("--license", request_.license, "license of every utterance; default: what the source says");
    app.add_option("--channel", channel_,
                   "take this channel of every file, counted from 0; default: the source's own, or all averaged")
        ->check(whole_between(0, 1023));
    app.add_option("--max-rejected-share", max_rejected_share_, "more left out than this ends with exit code 3")
        ->check(number_between(0, 1))
        ->capture_default_str();
  }

  int run() override {
    ConfigValue no_options;
    no_options.kind = ConfigValue::Kind::kMap;
    no_options.origin = "command line";
    const auto importer = Registry<Importer>::instance().create(layout_, ConfigNode(&no_options, "import"), {});
    expect_names();
    request_.source = source_;
    request_.folder = folder_;
    if (channel_ >= 0) request_.channel = channel_;
    Log log({});
    const ImportSummary summary = import_corpus(*importer, request_, AudioReaders(), [&](size_t done, size_t total) {
      if (done % kProgressEvery == 0) log.status(concat("looked at ", done, " of ", total, " files"));
    });
    log.status("");
    for (const RejectedSource& one : summary.skipped) log.warn("not looked into: ", one.source, ": ", one.reason);
    for (const auto& [note, count] : summary.notes) log.warn(count, " ", note);
    for (size_t i = 0; i < std::min(kListedRejections, summary.rejected.size()); ++i)
      log.warn("left out: ", summary.rejected[i].source, ": ", summary.rejected[i].reason);
    print(summary);
    expect_few_rejected(folder_, summary.rejected, summary.utterances, max_rejected_share_);
    return kExitOk;
  }

 private:
  static std::string layouts() {
    std::string names;
    for (const auto& [name, entry] : Registry<Importer>::instance().entries())
      names += (names.empty() ? "" : ", ") + name;
    return names;
  }

  // They end up in every manifest line and as labels of metrics.
  void expect_names() const {
    const std::pair<const char*, const std::string&> options[] = {
        {"--domain", request_.domain}, {"--lang", request_.lang}, {"--license", request_.license}};
    for (const auto& [option, value] : options)
      if (!value.empty() && !is_name(value))
        throw ConfigError(option, ": expected a name without control characters, of at most ", kLongestName,
                          " bytes; found ", quoted(value));
  }

  void print(const ImportSummary& summary) const {
    const std::string folder = printable(folder_);
    if (!summary.rejected.empty())
      std::cout << left_out_text(summary.rejected.size(), summary.utterances) << ", all in " << folder
                << "/rejected.jsonl\n";
    std::cout << "imported " << summary.utterances << " utterances, " << summary.seconds / 3600 << " hours to "
              << folder << "/manifest.jsonl; " << summary.rejected.size() << " rejected\n";
    for (const auto& [subset, count] : summary.subsets)
      std::cout << "  " << folder << "/" << printable(manifest_of_subset(subset)) << ": " << count << " utterances\n";
    std::cout << std::flush;
  }

  std::string layout_, source_, folder_;
  ImportRequest request_;
  int channel_ = -1;
  double max_rejected_share_ = 0.2;
};

REHEARSE_COMMAND("import", ImportCommand);

}  // namespace
}  // namespace rehearse
