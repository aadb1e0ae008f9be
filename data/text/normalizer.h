// Text normalisation with a name and a version, recorded in checkpoints and tables.
#pragma once

#include <string>
#include <vector>

namespace rehearse {

// "basic/1": NFC, lower case, punctuation and symbols to space except apostrophes inside words (’ becomes '), invisible
// format characters removed, runs of spaces to one, trimmed.
// "raw/1": NFC and runs of spaces to one, trimmed. Control characters count as spaces in both.
class Normalizer {
 public:
  static const std::vector<std::string>& names();
  explicit Normalizer(const std::string& name);  // one of names(), else ConfigError
  // Thread-safe; idempotent. lang: the manifest's (BCP 47 or a three-letter code), "" when unknown; letters change case
  // as its language has it. DataError when text is not UTF-8.
  std::string operator()(const std::string& text, const std::string& lang = "") const;
  const std::string& name() const { return name_; }

 private:
  std::string name_;
  bool is_basic_ = false;
};

}  // namespace rehearse
