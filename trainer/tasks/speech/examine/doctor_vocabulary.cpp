#include "trainer/tasks/speech/examine/doctor_vocabulary.h"

#include <cstdio>
#include <map>
#include <memory>

#include "models/kernels/ctc/ctc_length.h"
#include "trainer/base/error.h"
#include "trainer/base/registry.h"
#include "trainer/base/text/table.h"

namespace rehearse {
namespace {

constexpr int kStrides[] = {2, 4, 8};
constexpr size_t kMostLines = 20000;  // that a vocabulary is trained on here, to stay quick

struct Vocabulary {
  std::string name;
  const Tokenizer* tokenizer = nullptr;  // null: could not be made
  std::string reason;
};

// In memory: nothing is written.
std::unique_ptr<Tokenizer> trained(const std::string& kind, const std::string& tokenizer, int size,
                                   const std::vector<std::string>& texts) {
  ConfigValue no_options;
  no_options.kind = ConfigValue::Kind::kMap;
  ConfigNode node(&no_options, "tokenizer");
  const auto trainer = Registry<TokenizerTrainer>::instance().create(kind, node, {});
  return Registry<Tokenizer>::instance().create(tokenizer, node, {trainer->train(size, texts), kind});
}

std::string percent(int64_t part, int64_t whole) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%", 100.0 * static_cast<double>(part) / static_cast<double>(whole));
  return text;
}

std::vector<std::string> row_of(const std::string& domain, const std::vector<const SpokenLine*>& lines,
                                const Vocabulary& vocabulary, double hop_s,
                                const std::function<int64_t(double)>& frames) {
  if (vocabulary.tokenizer == nullptr) return {domain, vocabulary.name, "-", "-", "-", "-", "-"};
  int64_t infeasible[std::size(kStrides)] = {}, own = 0, tokens = 0;
  double seconds = 0;
  for (const SpokenLine* line : lines) {
    const std::vector<int32_t> encoded = vocabulary.tokenizer->encode(line->text);
    const int64_t needed = ctc_frames_needed(encoded);
    tokens += static_cast<int64_t>(encoded.size());
    seconds += line->duration_s;
    for (size_t i = 0; i < std::size(kStrides); ++i)
      infeasible[i] += needed > ctc_frames_there(line->duration_s, hop_s, kStrides[i]) ? 1 : 0;
    own += needed > frames(line->duration_s) ? 1 : 0;
  }
  const auto count = static_cast<int64_t>(lines.size());
  char rate[32];
  std::snprintf(rate, sizeof rate, "%.1f", static_cast<double>(tokens) / seconds);
  return {domain,
          vocabulary.name,
          rate,
          percent(infeasible[0], count),
          percent(infeasible[1], count),
          percent(infeasible[2], count),
          percent(own, count)};
}

}  // namespace

std::string feasibility_text(const std::vector<SpokenLine>& lines, const Tokenizer& own, double hop_s,
                             const std::function<int64_t(double)>& frames) {
  std::vector<std::string> texts;
  std::map<std::string, std::vector<const SpokenLine*>> domains;
  for (const SpokenLine& line : lines) {
    if (texts.size() < kMostLines) texts.push_back(line.text);
    domains[line.domain].push_back(&line);
  }
  std::vector<std::unique_ptr<Tokenizer>> owners;
  std::vector<Vocabulary> vocabularies = {{concat("the run's own, ", own.size()), &own, ""}};
  struct Kind {
    const char *trainer, *tokenizer;
    int size;
  };
  for (const Kind& kind :
       {Kind{"char", "char", 0}, Kind{"bpe", "sentencepiece", 300}, Kind{"bpe", "sentencepiece", 1000}}) {
    const std::string name = kind.size == 0 ? "characters" : concat(kind.trainer, " ", kind.size);
    try {
      owners.push_back(trained(kind.trainer, kind.tokenizer, kind.size, texts));
      vocabularies.push_back({name, owners.back().get(), ""});
    } catch (const Error& failure) {
      vocabularies.push_back({name, nullptr, failure.what()});
    }
  }
  TextTable table({{"domain", TextTable::kLeft},
                   {"vocabulary", TextTable::kLeft},
                   {"tokens/s"},
                   {"stride 2"},
                   {"stride 4"},
                   {"stride 8"},
                   {"this model"}});
  for (const auto& [domain, its_lines] : domains) {
    for (const Vocabulary& vocabulary : vocabularies)
      table.add_row(row_of(domain, its_lines, vocabulary, hop_s, frames));
    table.add_rule();
  }
  std::string text = table.text();
  for (const Vocabulary& vocabulary : vocabularies)
    if (!vocabulary.reason.empty()) text += concat(vocabulary.name, ": ", vocabulary.reason, "\n");
  return text;
}

}  // namespace rehearse
