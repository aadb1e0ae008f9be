// Foreign corpora: what their folders and tables say, as utterances.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/manifest.h"
#include "data/rejected_source.h"

namespace rehearse {

namespace fs = std::filesystem;

// id 0: derived from domain, file, offset and duration. duration_s 0: not said by the source, measured later.
struct ImportedUtterance {
  Utterance utterance;
  std::vector<std::string> subsets;  // the source's own parts that hold it ("train", "dev-clean")
};

struct ImportedCorpus {
  std::vector<ImportedUtterance> items;  // in an order that does not depend on the file system
  std::vector<RejectedSource> rejected;  // lines that cannot be used
};

// Plug-in: REHEARSE_REGISTER(Importer, name, Class). Reads descriptions only; import_corpus (data/import_corpus.h)
// looks at the audio.
class Importer {
 public:
  struct Context {
    std::string domain;  // of every utterance; empty: the importer's own choice
  };
  virtual ~Importer() = default;
  // Throws DataError when the source as a whole is not what it should be.
  virtual ImportedCorpus read(const fs::path& source) const = 0;
};

}  // namespace rehearse
