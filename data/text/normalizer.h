// Text normalisation with a name and a version, recorded in checkpoints and tables.
#pragma once

#include <string>
#include <vector>

#include "trainer/base/config/config.h"

namespace rehearse {

// "basic/2": NFC and one shape of each letter; lower case as the language has it; words as Unicode delimits them, so
// that punctuation and symbols become spaces but for what stands inside a word or a number; one apostrophe; runs of
// spaces to one, trimmed. Character by character in data/TEXT.md.
// "basic/1": for checkpoints that were trained with it. NFC, lower case without regard to the language, punctuation and
// symbols to space except apostrophes inside words (’ becomes '), invisible format characters removed.
// "raw/1": NFC and runs of spaces to one, trimmed. Control characters count as spaces in all of them.
class Normalizer {
 public:
  static constexpr const char* kDefault = "basic/2";
  static const std::vector<std::string>& names();
  // What becomes of <noise>, [laughter] and {breath} in basic/2 (data/text/annotations.h); the others keep them.
  enum class Annotations { kDrop, kKeep };
  explicit Normalizer(const std::string& name, Annotations annotations = Annotations::kDrop);  // ConfigError: no such
  static Normalizer from(ConfigNode data);  // reads `normalizer` and `annotations`

  // Thread-safe; idempotent. lang: the manifest's (BCP 47 or a three-letter code), "" when unknown; letters change case
  // as its language has it. DataError when text is not UTF-8.
  std::string operator()(const std::string& text, const std::string& lang = "") const;
  const std::string& name() const { return name_; }
  bool drops_annotations() const { return drops_annotations_; }

 private:
  std::string name_;
  bool drops_annotations_ = false;
};

}  // namespace rehearse
