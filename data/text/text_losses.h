// What texts hold that nobody learns: characters outside the vocabulary, and annotations; counted and said by domain.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "data/text/tokenizer.h"

namespace rehearse {

class TextLosses {
 public:
  struct Domain {
    int64_t unknown = 0;        // characters that encode() dropped
    int64_t unknown_texts = 0;  // texts that hold some
    std::map<char32_t, int64_t> characters;
    int64_t annotated_texts = 0;
    std::map<std::string, int64_t> annotations;  // with their brackets
  };

  // One text as the manifest has it.
  void add_source(const std::string& domain, const std::string& text);
  // The same text normalised, of which `tokenizer` dropped num_unknown characters.
  void add_unknown(const std::string& domain, const std::string& reference, int num_unknown,
                   const Tokenizer& tokenizer);
  TextLosses& operator+=(const TextLosses& other);

  const std::map<std::string, Domain>& domains() const { return domains_; }
  // A line for each domain that lost some; the commonest first: `domain "loud": 33 characters in 12 utterances are not
  // in the vocabulary: é (U+00E9) 20 times, ñ (U+00F1) 13 times`.
  std::vector<std::string> unknown_lines() const;
  // A line for each domain that has some: `domain "loud": 3 texts hold annotations: <NOISE> 2 times, [laughter] once`.
  std::vector<std::string> annotation_lines() const;

 private:
  std::map<std::string, Domain> domains_;
  std::map<char32_t, bool> is_unknown_;
};

// What to do about unknown characters in texts that are learned, and in texts that are scored.
extern const char* const kUnknownInTraining;
extern const char* const kUnknownInScoring;
// What becomes of annotations, and the key that decides.
std::string annotations_advice(bool are_dropped);

}  // namespace rehearse
