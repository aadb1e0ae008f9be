// Text to tokens and back. The blank belongs to the task: tokens are 0 … size() - 1 without it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "trainer/base/config/config.h"

namespace rehearse {

// Plug-in ("char", "sentencepiece"), built from the bytes of its model file. Thread-safe once built.
class Tokenizer {
 public:
  struct Context {
    std::string bytes;   // of the model file; the constructor throws DataError when they are broken
    std::string source;  // its path, for messages
  };
  virtual ~Tokenizer() = default;
  virtual int size() const = 0;
  // Of normalised text. Characters outside the vocabulary are dropped and counted in `num_unknown` when given.
  virtual std::vector<int32_t> encode(const std::string& text, int* num_unknown = nullptr) const = 0;
  virtual std::string decode(const std::vector<int32_t>& tokens) const = 0;
  virtual std::string piece(int token) const = 0;
  // The model file's bytes and its file name inside a checkpoint: "tokenizer." and the extension by which
  // load_tokenizer knows it ("tokenizer.txt", "tokenizer.model", a plug-in's "tokenizer.<its name>").
  virtual std::string serialized() const = 0;
  virtual std::string file_name() const = 0;
};

// Plug-in: one way to make a tokenizer ("char", "bpe", "unigram").
class TokenizerTrainer {
 public:
  struct Context {};
  virtual ~TokenizerTrainer() = default;
  virtual std::string tokenizer() const = 0;  // registered name of the Tokenizer that reads the result
  // The model file's bytes: a function of size and lines alone. ConfigError when size does not suit the lines.
  virtual std::string train(int size, const std::vector<std::string>& lines) const = 0;
};

// Trains on normalised lines and writes `path`; kind: "char", "bpe" or "unigram" (size is ignored for "char").
// size counts the tokens, without blank and without an unknown piece. ConfigError when load_tokenizer would read
// `path` as another tokenizer.
void train_tokenizer(const std::string& kind, int size, const std::vector<std::string>& lines, const std::string& path);
// By file name: *.txt is a character vocabulary, *.model sentencepiece, any other extension the name of a plug-in.
// Throws DataError.
std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path);

}  // namespace rehearse
