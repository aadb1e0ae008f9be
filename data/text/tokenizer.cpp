#include "data/text/tokenizer.h"

#include <filesystem>

#include "trainer/base/files.h"
#include "trainer/base/registry.h"

namespace rehearse {

namespace {

std::string name_by_extension(const std::string& path) {
  const std::string extension = fs::path(path).extension().string();
  if (extension == ".txt") return "char";
  if (extension == ".model") return "sentencepiece";
  return extension.empty() ? "" : extension.substr(1);
}

}  // namespace

void train_tokenizer(const std::string& kind, int size, const std::vector<std::string>& lines,
                     const std::string& path) {
  const auto& trainers = Registry<TokenizerTrainer>::instance();
  Config no_options = Config::parse("{}");
  const auto trainer = trainers.create(kind, no_options.root(), {});
  if (name_by_extension(path) != trainer->tokenizer())
    throw ConfigError(path,
                      ": expected a name that says what it holds (*.txt for characters, *.model for sentencepiece); "
                      "found another for kind \"",
                      kind, "\"; rename the output");
  FileLayer files;
  replace_text(files, path, trainer->train(size, lines));
}

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path) {
  const auto& entries = Registry<Tokenizer>::instance().entries();
  const auto entry = entries.find(name_by_extension(path));
  if (entry == entries.end())
    throw DataError(path,
                    ": expected *.txt (characters) or *.model (sentencepiece); found neither; rename the file or "
                    "make one with `rehearse tokenizer`");
  Config no_options = Config::parse("{}");
  ConfigNode node = no_options.root();
  return entry->second.create(node, {read_text(path), path});
}

}  // namespace rehearse
