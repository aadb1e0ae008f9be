// rehearse pack: manifests to a packed corpus.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>

#include "data/speech/pack/pack_corpus.h"
#include "trainer/base/error.h"
#include "trainer/base/log.h"
#include "trainer/base/text/printable.h"
#include "trainer/commands/command.h"
#include "trainer/commands/number_checks.h"

namespace rehearse {
namespace {

constexpr size_t kListedRejections = 10;
constexpr size_t kProgressEvery = 50;

class PackCommand : public Command {
 public:
  std::string summary() const override { return "decode the audio of manifests once, into a few large files"; }

  std::string examples() const override {
    return "rehearse pack data/all_train.jsonl --out packed/train\n"
           "rehearse pack a.jsonl b.jsonl --out packed/ab --encoding int16 --rate 8000\n"
           "rehearse pack more.jsonl --out packed/train     # appends what is not there yet and takes over new texts";
  }

  void declare(CLI::App& app) override {
    app.add_option("MANIFEST", manifests_, "manifests (JSON Lines)")->required();
    app.add_option("--out", folder_, "folder of the packed corpus; an existing one is appended to")->required();
    app.add_option("--encoding", encoding_, "flac (half the size) or int16 (faster to read)")
        ->check(CLI::IsMember({"flac", "int16"}))
        ->capture_default_str();
    app.add_option("--rate", options_.sample_rate_hz, "sample rate in Hz")
        ->check(whole_between(1000, 768000))
        ->capture_default_str();
    app.add_option("--shard-mb", shard_mb_, "longest shard file in MiB")
        ->check(whole_between(1, 1024))
        ->capture_default_str();
    app.add_option("--max-rejected-share", max_rejected_share_, "more left out than this ends with exit code 3")
        ->check(number_between(0, 1))
        ->capture_default_str();
  }

  int run() override {
    options_.encoding = encoding_ == "flac" ? PackEncoding::kFlac : PackEncoding::kInt16;
    options_.shard_bytes = shard_mb_ << 20;
    Log log({});
    FileLayer files;
    const PackSummary summary =
        pack_corpus(manifests_, folder_, options_, AudioReaders(), files, [&](size_t done, size_t total) {
          if (done % kProgressEvery == 0) log.status(concat("packed ", done, " of ", total, " utterances"));
        });
    log.status("");
    for (size_t i = 0; i < std::min(kListedRejections, summary.rejected.size()); ++i)
      log.warn("left out: ", summary.rejected[i].source, ": ", summary.rejected[i].reason);
    print(summary);
    expect_few_rejected(folder_, summary.rejected, summary.packed + summary.already_there, max_rejected_share_);
    return kExitOk;
  }

 private:
  void print(const PackSummary& summary) const {
    const std::string folder = printable(folder_);
    if (!summary.rejected.empty())
      std::cout << left_out_text(summary.rejected.size(), summary.packed + summary.already_there) << ", all in "
                << folder << "/rejected.jsonl\n";
    std::cout << "packed " << summary.packed << " utterances, " << summary.seconds / 3600 << " hours ("
              << summary.already_there << " were there already, " << summary.updated << " texts updated); shards hold "
              << summary.shard_bytes << " bytes; " << summary.rejected.size() << " rejected; train on " << folder
              << "/manifest.jsonl\n"
              << std::flush;
  }

  std::vector<std::string> manifests_;
  std::string folder_;
  std::string encoding_ = "flac";
  uint64_t shard_mb_ = 1024;
  double max_rejected_share_ = 0.2;
  PackWriter::Options options_;
};

REHEARSE_COMMAND("pack", PackCommand);

}  // namespace
}  // namespace rehearse
