// Text to tokens and back. The blank belongs to the task: tokens are 0 … size() - 1 without it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "trainer/base/config.h"

namespace rehearse {

// Plug-in ("char", "sentencepiece"). Thread-safe once built.
class Tokenizer {
 public:
  struct Context {};
  virtual ~Tokenizer() = default;
  virtual int size() const = 0;
  // Of normalised text. Characters outside the vocabulary are dropped and counted in `num_unknown` when given.
  virtual std::vector<int32_t> encode(const std::string& text, int* num_unknown = nullptr) const = 0;
  virtual std::string decode(const std::vector<int32_t>& tokens) const = 0;
  virtual std::string piece(int token) const = 0;
  // The model file's bytes and its file name inside a checkpoint ("tokenizer.txt" or "tokenizer.model").
  virtual std::string serialized() const = 0;
  virtual std::string file_name() const = 0;
};

// Trains on normalised lines and writes `path`; kind: "char", "bpe" or "unigram" (size is ignored for "char").
void train_tokenizer(const std::string& kind, int size, const std::vector<std::string>& lines, const std::string& path);
// By file name: *.txt is a character vocabulary, *.model sentencepiece. Throws DataError.
std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path);

}  // namespace rehearse
