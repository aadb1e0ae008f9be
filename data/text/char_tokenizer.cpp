// One token per Unicode code point. The file format is described in data/README.md.
#include <set>
#include <unordered_map>

#include "data/text/tokenizer.h"
#include "data/text/utf8.h"
#include "trainer/base/registry.h"

namespace rehearse {

namespace {

constexpr std::string_view kMagic = "rehearse-characters 1";
constexpr std::string_view kSpace = "<space>";

bool is_control(char32_t c) {
  return c < 0x20 || (c >= 0x7F && c < 0xA0);
}

std::string shown(std::string_view line) {
  constexpr size_t kMostBytes = 40;
  return concat("\"", line.substr(0, kMostBytes), line.size() > kMostBytes ? "…\"" : "\"");
}

class CharTokenizer final : public Tokenizer {
 public:
  struct Options {
    static Options from(ConfigNode&) { return {}; }
  };
  static constexpr const char* kExample = "{type: char}";

  CharTokenizer(const Options&, const Context& context) {
    size_t line_number = 0;
    for (std::string_view rest = context.bytes; !rest.empty();) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      add_line(rest.substr(0, end), ++line_number, context.source);
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    if (characters_.empty())
      throw DataError(context.source, ": expected \"", kMagic,
                      "\" and one character a line; found no character; make it "
                      "with `rehearse tokenizer --kind char`");
  }

  int size() const override { return static_cast<int>(characters_.size()); }

  std::vector<int32_t> encode(const std::string& text, int* num_unknown) const override {
    std::vector<int32_t> tokens;
    int unknown = 0;
    for (char32_t c : code_points(text)) {
      const auto found = token_of_.find(c);
      if (found == token_of_.end())
        ++unknown;
      else
        tokens.push_back(found->second);
    }
    if (num_unknown) *num_unknown = unknown;
    return tokens;
  }

  std::string decode(const std::vector<int32_t>& tokens) const override {
    std::string text;
    for (int32_t token : tokens) append_utf8(text, character(token));
    return text;
  }

  std::string piece(int token) const override { return utf8_of({&character(token), 1}); }

  std::string serialized() const override {
    std::string bytes = concat(kMagic, "\n");
    for (char32_t c : characters_) bytes += (c == U' ' ? std::string(kSpace) : utf8_of({&c, 1})) + "\n";
    return bytes;
  }

  std::string file_name() const override { return "tokenizer.txt"; }

 private:
  const char32_t& character(int token) const {
    REHEARSE_CHECK(token >= 0 && token < size(), "tokens are 0 … size() - 1; found ", token);
    return characters_[static_cast<size_t>(token)];
  }

  void add_line(std::string_view line, size_t line_number, const std::string& source) {
    const std::string where = concat(source, ":", line_number, ": ");
    if (line_number == 1) {
      if (line != kMagic) throw DataError(where, "expected \"", kMagic, "\"; found ", shown(line));
      return;
    }
    std::u32string points;
    try {
      points = line == kSpace ? U" " : code_points(line);
    } catch (const DataError& error) {
      throw DataError(where, error.what());
    }
    if (points.size() != 1 || is_control(points[0]) || (points[0] == U' ' && line != kSpace))
      throw DataError(where, "expected one character, or ", kSpace, "; found ", shown(line));
    if (!token_of_.emplace(points[0], size()).second)
      throw DataError(where, "expected each character once; found ", shown(line),
                      " again; delete one of the two lines");
    characters_.push_back(points[0]);
  }

  std::u32string characters_;
  std::unordered_map<char32_t, int32_t> token_of_;
};

REHEARSE_REGISTER(Tokenizer, "char", CharTokenizer);

class CharTrainer final : public TokenizerTrainer {
 public:
  struct Options {
    static Options from(ConfigNode&) { return {}; }
  };
  static constexpr const char* kExample = "{type: char}";
  CharTrainer(const Options&, const Context&) {}

  std::string tokenizer() const override { return "char"; }

  std::string train(int, const std::vector<std::string>& lines) const override {
    std::set<char32_t> characters;
    for (const std::string& line : lines)
      for (char32_t c : code_points(line))
        if (!is_control(c)) characters.insert(c);
    if (characters.empty())
      throw DataError("character vocabulary: expected text; found none in ", lines.size(), " lines");
    std::string bytes = concat(kMagic, "\n");
    for (char32_t c : characters) bytes += (c == U' ' ? std::string(kSpace) : utf8_of({&c, 1})) + "\n";
    return bytes;
  }
};

REHEARSE_REGISTER(TokenizerTrainer, "char", CharTrainer);

}  // namespace

}  // namespace rehearse
