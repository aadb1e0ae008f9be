// Subword tokens by sentencepiece, trained without any normalisation of its own.
#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <optional>
#include <set>
#include <unordered_map>

#include "data/text/tokenizer.h"
#include "data/text/utf8.h"
#include "trainer/base/registry.h"
#include "trainer/base/text/printable.h"

namespace rehearse {

namespace {

// sentencepiece writes a space as this character inside pieces; in text it would come back as a space.
constexpr char32_t kSpaceSymbol = 0x2581;
// It leaves out whole lines that hold this one.
constexpr char32_t kReservedSymbol = 0x2585;

class SentencepieceTokenizer final : public Tokenizer {
 public:
  struct Options {
    static Options from(ConfigNode&) { return {}; }
  };
  static constexpr const char* kExample = "{type: sentencepiece}";

  SentencepieceTokenizer(const Options&, const Context& context) {
    const auto status = processor_.LoadFromSerializedProto(context.bytes);
    if (!status.ok() || context.bytes.empty())
      throw DataError(context.source, ": expected a sentencepiece model; found ",
                      context.bytes.empty() ? "an empty file" : concat(context.bytes.size(), " bytes that are none"),
                      "; make it with `rehearse tokenizer --kind bpe`");
    token_of_.assign(static_cast<size_t>(processor_.GetPieceSize()), kNoToken);
    for (int id = 0; id < processor_.GetPieceSize(); ++id) {
      if (processor_.IsUnknown(id) || processor_.IsControl(id) || processor_.IsUnused(id)) continue;
      token_of_[static_cast<size_t>(id)] = size();
      id_of_.push_back(id);
    }
    if (id_of_.empty()) throw DataError(context.source, ": expected pieces that stand for text; found none");
  }

  int size() const override { return static_cast<int>(id_of_.size()); }

  std::vector<int32_t> encode(const std::string& text, int* num_unknown) const override {
    std::u32string points = code_points(text);
    const auto num_symbols = std::erase(points, kSpaceSymbol);
    std::vector<std::string> pieces;
    const auto status = processor_.Encode(utf8_of(points), &pieces);
    if (!status.ok())
      throw DataError("text: expected what the vocabulary can split; found ", quoted(text), "; correct it");
    std::vector<int32_t> tokens;
    size_t unknown = num_symbols;
    for (const std::string& piece : pieces) {
      const int32_t token = token_of_[static_cast<size_t>(processor_.PieceToId(piece))];
      if (token == kNoToken)
        unknown += code_points(piece).size();  // a run of unknown characters is one piece
      else
        tokens.push_back(token);
    }
    if (num_unknown) *num_unknown = static_cast<int>(unknown);
    return tokens;
  }

  std::string decode(const std::vector<int32_t>& tokens) const override {
    std::vector<int> ids;
    ids.reserve(tokens.size());
    for (int32_t token : tokens) ids.push_back(id_of(token));
    std::string text;
    const auto status = processor_.Decode(ids, &text);
    REHEARSE_CHECK(status.ok(), "ids of the model always decode: ", status.ToString());
    return text;
  }

  std::string piece(int token) const override { return processor_.IdToPiece(id_of(token)); }
  std::string serialized() const override { return processor_.serialized_model_proto(); }
  std::string file_name() const override { return "tokenizer.model"; }

 private:
  static constexpr int32_t kNoToken = -1;

  int id_of(int token) const {
    REHEARSE_CHECK(token >= 0 && token < size(), "tokens are 0 … size() - 1; found ", token);
    return id_of_[static_cast<size_t>(token)];
  }

  sentencepiece::SentencePieceProcessor processor_;
  std::vector<int32_t> token_of_;  // by sentencepiece id
  std::vector<int> id_of_;         // by token
};

REHEARSE_REGISTER(Tokenizer, "sentencepiece", SentencepieceTokenizer);

class Lines final : public sentencepiece::SentenceIterator {
 public:
  explicit Lines(const std::vector<std::string>& lines) : lines_(lines) {}
  bool done() const override { return next_ == lines_.size(); }
  void Next() override { ++next_; }
  const std::string& value() const override { return lines_[next_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::vector<std::string>& lines_;
  size_t next_ = 0;
};

std::vector<std::string> usable(const std::vector<std::string>& lines) {
  std::vector<std::string> result;
  for (const std::string& line : lines) {
    std::u32string points = code_points(line);
    std::erase_if(points, [](char32_t c) { return c == kSpaceSymbol || c == kReservedSymbol; });
    if (!points.empty()) result.push_back(utf8_of(points));
  }
  if (result.empty()) throw DataError("tokenizer: expected text; found none in ", lines.size(), " lines");
  return result;
}

// Trains one model; nullopt when sentencepiece refuses.
class ModelTrainer {
 public:
  ModelTrainer(const std::string& kind, const std::vector<std::string>& sentences)
      : kind_(kind), sentences_(sentences) {
    for (const std::string& line : sentences) longest_ = std::max(longest_, line.size());
  }

  // is_at_most: fewer tokens will do when the lines do not give so many.
  std::optional<std::string> train(int size, bool is_at_most) const {
    // No piece but the obligatory unknown one stands for anything but text, and no line is left out for its length. One
    // thread: sums over several depend on their number.
    const std::unordered_map<std::string, std::string> arguments = {
        {"model_type", kind_},
        {"vocab_size", std::to_string(size + 1)},
        {"hard_vocab_limit", is_at_most ? "false" : "true"},
        {"normalization_rule_name", "identity"},
        {"add_dummy_prefix", "false"},
        {"remove_extra_whitespaces", "false"},
        {"character_coverage", "1.0"},
        {"byte_fallback", "false"},
        {"unk_id", "0"},
        {"bos_id", "-1"},
        {"eos_id", "-1"},
        {"pad_id", "-1"},
        {"max_sentence_length", std::to_string(longest_ + 1)},
        {"num_threads", "1"},
        {"minloglevel", "2"},
    };
    Lines iterator(sentences_);
    std::string model;
    if (!sentencepiece::SentencePieceTrainer::Train(arguments, &iterator, &model).ok()) return std::nullopt;
    return model;
  }

  // The largest size below `above` that train() gives; 0: there is none.
  int largest(int above) const {
    int size = above;
    // What it makes when asked for too much is a size that it gives, but where pruning for that size goes on below it.
    do {
      const std::optional<std::string> model = train(size, true);
      sentencepiece::SentencePieceProcessor processor;
      if (!model || !processor.LoadFromSerializedProto(*model).ok()) return 0;
      size = std::min(processor.GetPieceSize() - 1, size - 1);
      if (size < 1) return 0;
    } while (!train(size, false));
    while (size + 1 < above && train(size + 1, false)) ++size;
    return size;
  }

  size_t num_bytes() const {
    size_t sum = 0;
    for (const std::string& line : sentences_) sum += line.size();
    return sum;
  }

 private:
  std::string kind_;
  const std::vector<std::string>& sentences_;
  size_t longest_ = 10;  // sentencepiece takes no smaller limit
};

// Every character is a token of its own: no vocabulary is smaller.
int smallest_size(const std::vector<std::string>& sentences) {
  std::set<char32_t> characters;
  for (const std::string& line : sentences)
    for (char32_t c : code_points(line)) characters.insert(c);
  return static_cast<int>(characters.size());
}

std::string train_sentencepiece(const std::string& kind, int size, const std::vector<std::string>& lines) {
  const std::vector<std::string> sentences = usable(lines);
  const ModelTrainer trainer(kind, sentences);
  const int smallest = smallest_size(sentences);
  if (size >= smallest)
    if (std::optional<std::string> model = trainer.train(size, false)) return *model;
  constexpr size_t kQuickBytes = 300000;  // of more, the upper end is far away and takes long to find
  const std::string refused = concat("tokenizer: expected a size that these ", sentences.size(), " lines allow; found ",
                                     size, "; choose --size >= ", smallest);
  if (size < smallest && trainer.num_bytes() > kQuickBytes) throw ConfigError(refused);
  const int largest = trainer.largest(size < smallest ? 100000 : size);
  if (largest < smallest)
    throw DataError("tokenizer: expected lines of words; found ", sentences.size(),
                    " lines that give no subwords; use --kind char");
  throw ConfigError(refused, " and <= ", largest);
}

class BpeTrainer final : public TokenizerTrainer {
 public:
  struct Options {
    static Options from(ConfigNode&) { return {}; }
  };
  static constexpr const char* kExample = "{type: bpe}";
  BpeTrainer(const Options&, const Context&) {}
  std::string tokenizer() const override { return "sentencepiece"; }
  std::string train(int size, const std::vector<std::string>& lines) const override {
    return train_sentencepiece("bpe", size, lines);
  }
};

REHEARSE_REGISTER(TokenizerTrainer, "bpe", BpeTrainer);

class UnigramTrainer final : public TokenizerTrainer {
 public:
  struct Options {
    static Options from(ConfigNode&) { return {}; }
  };
  static constexpr const char* kExample = "{type: unigram}";
  UnigramTrainer(const Options&, const Context&) {}
  std::string tokenizer() const override { return "sentencepiece"; }
  std::string train(int size, const std::vector<std::string>& lines) const override {
    return train_sentencepiece("unigram", size, lines);
  }
};

REHEARSE_REGISTER(TokenizerTrainer, "unigram", UnigramTrainer);

}  // namespace

}  // namespace rehearse
