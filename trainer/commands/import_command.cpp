// rehearse import: foreign corpora to manifests.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>

#include "data/import_corpus.h"
#include "trainer/base/log.h"
#include "trainer/base/registry.h"
#include "trainer/commands/command.h"

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
           "rehearse import nemo train_manifest.json --out manifests/calls --domain phone";
  }

  void declare(CLI::App& app) override {
    app.add_option("LAYOUT", layout_, "layout of the source: " + layouts())->required();
    app.add_option("SRC", source_, "folder or file of the source")->required();
    app.add_option("--out", folder_, "folder for manifest.jsonl, a manifest per subset, and rejected.jsonl")
        ->required();
    app.add_option("--domain", domain_, "domain of every utterance; default: the source's own, or named after it");
  }

  int run() override {
    ConfigValue no_options;
    no_options.kind = ConfigValue::Kind::kMap;
    no_options.origin = "command line";
    const auto importer = Registry<Importer>::instance().create(layout_, ConfigNode(&no_options, "import"), {domain_});
    Log log({});
    const ImportSummary summary =
        import_corpus(*importer, source_, folder_, AudioReaders(), [&](size_t done, size_t total) {
          if (done % kProgressEvery == 0) log.status(concat("looked at ", done, " of ", total, " files"));
        });
    log.status("");
    for (size_t i = 0; i < std::min(kListedRejections, summary.rejected.size()); ++i)
      log.warn("left out: ", summary.rejected[i].source, ": ", summary.rejected[i].reason);
    std::cout << "imported " << summary.utterances << " utterances, " << summary.seconds / 3600 << " hours to "
              << folder_ << "/manifest.jsonl; " << summary.rejected.size() << " rejected"
              << (summary.rejected.empty() ? "" : " (all in " + folder_ + "/rejected.jsonl)") << "\n";
    for (const auto& [subset, count] : summary.subsets)
      std::cout << "  " << folder_ << "/" << manifest_of_subset(subset) << ": " << count << " utterances\n";
    return kExitOk;
  }

 private:
  static std::string layouts() {
    std::string names;
    for (const auto& [name, entry] : Registry<Importer>::instance().entries())
      names += (names.empty() ? "" : ", ") + name;
    return names;
  }

  std::string layout_, source_, folder_, domain_;
};

REHEARSE_COMMAND("import", ImportCommand);

}  // namespace
}  // namespace rehearse
