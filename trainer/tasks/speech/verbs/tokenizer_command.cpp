// rehearse tokenizer: a vocabulary from manifests, and whether CTC can spell with it.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <vector>

#include "data/speech/manifest.h"
#include "data/text/normalizer.h"
#include "data/text/text_losses.h"
#include "data/text/tokenizer.h"
#include "models/kernels/ctc/ctc_length.h"
#include "trainer/base/error.h"
#include "trainer/base/files.h"
#include "trainer/base/registry.h"
#include "trainer/base/text/printable.h"
#include "trainer/base/text/words.h"
#include "trainer/commands/command.h"
#include "trainer/commands/number_checks.h"

namespace rehearse {

namespace {

constexpr double kHop_s = 0.01;
constexpr int kStrides[] = {2, 4, 8};

struct Line {
  std::string text;  // normalised
  double duration_s = 0;
};

// What a tokenizer makes of texts of known duration.
struct Feasibility {
  int64_t num_tokens = 0;
  int64_t num_unknown = 0;
  double seconds = 0;
  int64_t num_infeasible[std::size(kStrides)] = {};
};

Feasibility feasibility_of(const std::vector<Line>& lines, const Tokenizer& tokenizer) {
  Feasibility sum;
  for (const Line& line : lines) {
    int num_unknown = 0;
    const std::vector<int32_t> tokens = tokenizer.encode(line.text, &num_unknown);
    sum.num_tokens += static_cast<int64_t>(tokens.size());
    sum.num_unknown += num_unknown;
    sum.seconds += line.duration_s;
    for (size_t i = 0; i < std::size(kStrides); ++i) {
      const int64_t frames = ctc_frames_there(line.duration_s, kHop_s, kStrides[i]);
      sum.num_infeasible[i] += ctc_frames_needed(tokens) > frames ? 1 : 0;
    }
  }
  return sum;
}

class TokenizerCommand final : public Command {
 public:
  std::string summary() const override { return "train a vocabulary on manifests and report what it fits"; }

  std::string examples() const override {
    return "  rehearse tokenizer train.jsonl --kind char --out characters.txt\n"
           "  rehearse tokenizer a/train.jsonl b/train.jsonl --kind bpe --size 300 --out bpe300.model\n";
  }

  void declare(CLI::App& app) override {
    app.add_option("manifest", manifests_, "manifests (JSON Lines) of the training set; never of a validation set")
        ->required()
        ->expected(1, -1);
    app.add_option("--kind", kind_, "char, bpe or unigram")->capture_default_str();
    app.add_option("--size", size_, "number of tokens (bpe and unigram)")
        ->capture_default_str()
        ->check(whole_between(2, 100000));
    app.add_option("--normalizer", normalizer_, "basic/2, basic/1 or raw/1; the same as data.normalizer")
        ->capture_default_str();
    app.add_option("--annotations", annotations_, "<noise>, [laughter], {breath}: drop or keep; as data.annotations")
        ->capture_default_str();
    app.add_option("--out", out_, "file to write: *.txt for characters, *.model for bpe and unigram")->required();
  }

  int run() override {
    expect_writable("--out", out_);
    expect_one_of("--kind", kind_, Registry<TokenizerTrainer>::instance().names());
    expect_one_of("--normalizer", normalizer_, Normalizer::names());
    expect_one_of("--annotations", annotations_, {"drop", "keep"});
    const std::vector<Line> lines = read_lines();
    std::vector<std::string> texts;
    texts.reserve(lines.size());
    for (const Line& line : lines) texts.push_back(line.text);
    train_tokenizer(kind_, size_, texts, out_);
    const auto tokenizer = load_tokenizer(out_);
    print(*tokenizer, lines);
    return kExitOk;
  }

 private:
  std::vector<Line> read_lines() {
    const Normalizer normalize(
        normalizer_, annotations_ == "drop" ? Normalizer::Annotations::kDrop : Normalizer::Annotations::kKeep);
    drops_annotations_ = normalize.drops_annotations();
    std::vector<Line> lines;
    for (const Utterance& utterance : read_manifests(manifests_)) {
      losses_.add_source(utterance.domain, utterance.text);
      std::string text = normalize(utterance.text, utterance.lang);
      if (!text.empty()) lines.push_back({std::move(text), utterance.duration_s});
    }
    if (lines.empty())
      throw DataError(manifests_.front(), ": expected transcripts; found no text at all",
                      losses_.domains().empty() ? "" : " but annotations; " + annotations_advice(true));
    return lines;
  }

  void print(const Tokenizer& tokenizer, const std::vector<Line>& lines) const {
    const Feasibility sum = feasibility_of(lines, tokenizer);
    std::printf("wrote %s: %s, normalizer %s\n", printable(out_).c_str(), kind_.c_str(), normalizer_.c_str());
    std::printf("tokens                   %d (without blank)\n", tokenizer.size());
    std::printf("texts                    %zu, %.1f minutes\n", lines.size(), sum.seconds / 60);
    std::printf("unknown characters       %lld\n", static_cast<long long>(sum.num_unknown));
    std::printf("tokens per second        %.2f\n", static_cast<double>(sum.num_tokens) / sum.seconds);
    for (const std::string& line : losses_.annotation_lines())
      std::printf("%s; %s\n", line.c_str(), annotations_advice(drops_annotations_).c_str());
    for (size_t i = 0; i < std::size(kStrides); ++i)
      std::printf("infeasible at stride %d   %.1f %% (tokens and repeats > frames, one every %d ms)\n", kStrides[i],
                  100.0 * static_cast<double>(sum.num_infeasible[i]) / static_cast<double>(lines.size()),
                  10 * kStrides[i]);
  }

  std::vector<std::string> manifests_;
  std::string kind_ = "bpe";
  int size_ = 300;
  std::string normalizer_ = Normalizer::kDefault;
  std::string annotations_ = "drop";
  std::string out_;
  TextLosses losses_;
  bool drops_annotations_ = false;
};

REHEARSE_COMMAND("tokenizer", TokenizerCommand);

}  // namespace

}  // namespace rehearse
