// Foreign corpora: what their folders and tables say, as utterances.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "data/speech/import/rejected_source.h"
#include "data/speech/manifest.h"

namespace rehearse {

namespace fs = std::filesystem;

// What the source says and no more: duration_s 0 is measured later, an empty domain is filled in, and the stable id
// follows from `name` or from file, offset, duration and channel.
struct ImportedUtterance {
  Utterance utterance;
  std::vector<std::string> subsets;  // the source's own parts that hold it ("train", "dev-clean"); at least one
  std::string origin;                // "train.tsv:3"
  std::string name;                  // the source's own id for it; empty: none
};

struct ImportedCorpus {
  std::vector<ImportedUtterance> items;  // in an order that does not depend on the file system
  std::vector<RejectedSource> rejected;  // lines that cannot be used
  std::vector<RejectedSource> skipped;   // folders that cannot be read, with whatever is in them
  std::map<std::string, size_t> notes;   // what was read otherwise than it stands there, and how often
};

// Plug-in: REHEARSE_REGISTER(Importer, name, Class). Reads descriptions only; import_corpus
// (data/speech/import/import_corpus.h) looks at the audio.
class Importer {
 public:
  struct Context {};
  virtual ~Importer() = default;
  // Throws DataError when the source as a whole is not what it should be.
  virtual ImportedCorpus read(const fs::path& source) const = 0;
};

}  // namespace rehearse
