// Finding files of foreign corpora: folders walked whatever is in them, and names as foreign manifests spell them.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/speech/import/rejected_source.h"

namespace rehearse {

namespace fs = std::filesystem;

struct SourceFiles {
  std::vector<fs::path> files;             // sorted
  std::vector<RejectedSource> unreadable;  // folders and links that cannot be read
};

// Files below `folder` (in it alone when not `is_deep`) that `wanted` accepts by their path. Links to folders are
// followed, each folder once, however many links lead to it. What operating systems leave behind (._x, .DS_Store) is no
// file of a corpus.
SourceFiles files_below(const fs::path& folder, const std::function<bool(const fs::path&)>& wanted,
                        bool is_deep = true);

// False also for what cannot be looked at.
bool is_folder(const fs::path& path);
bool is_there(const fs::path& path);

// The name of a table without its endings: "train" of train.tsv and train.tsv.gz.
std::string table_name(const fs::path& table);

// `stem` with the extension that a file has: .flac, .wav, .ogg, .opus, .mp3; .flac when there is none.
fs::path audio_with_stem(const fs::path& stem);

// Looks for the file that a name means, in several folders, also when the name spells letters as one code point and the
// disk as two ("é", Unicode's NFC and NFD) or the other way round. Remembers the folders it has read.
class NamedFile {
 public:
  // The first that exists. When none does: the only file whose name is canonically equivalent; else nothing.
  std::optional<fs::path> find(const std::vector<fs::path>& places);
  size_t num_respelled() const { return num_respelled_; }

 private:
  std::optional<fs::path> respelled(const fs::path& place);
  const std::multimap<std::string, std::string>& names_in(const fs::path& folder);

  std::map<fs::path, std::multimap<std::string, std::string>> folders_;  // composed name to the name on disk
  size_t num_respelled_ = 0;
};

}  // namespace rehearse
