#include "data/speech/import/source_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <set>

#include "data/speech/pack/packed_audio.h"
#include "data/text/characters.h"
#include "data/text/utf8.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

bool is_left_by_a_system(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.starts_with("._") || name == ".DS_Store" || name == "Thumbs.db" || name == "desktop.ini" ||
         name == "__MACOSX";
}

std::string why(const std::error_code& failure) {
  return concat("expected a folder or file that can be read; found ", failure.message(), "; it was left out");
}

// One walk. Folders that are reached through links wait until all others are done, so that a folder's own path wins.
class Walk {
 public:
  Walk(const std::function<bool(const fs::path&)>& wanted, bool is_deep) : wanted_(wanted), is_deep_(is_deep) {}

  SourceFiles from(const fs::path& folder) {
    folders_.push_back(folder);
    while (!folders_.empty() || !links_.empty()) {
      std::deque<fs::path>& next = folders_.empty() ? links_ : folders_;
      const fs::path path = next.front();
      next.pop_front();
      if (is_new(path)) read(path);
    }
    std::sort(found_.files.begin(), found_.files.end());
    return std::move(found_);
  }

 private:
  bool is_new(const fs::path& folder) {
    struct stat status {};
    if (::stat(folder.c_str(), &status) != 0) return true;  // is said when it is read
    return seen_.emplace(status.st_dev, status.st_ino).second;
  }

  void read(const fs::path& folder) {
    std::error_code failure;
    fs::directory_iterator entry(folder, failure);
    std::vector<fs::path> paths;
    for (; !failure && entry != fs::directory_iterator(); entry.increment(failure)) paths.push_back(entry->path());
    if (failure) found_.unreadable.push_back({folder.string(), why(failure)});
    std::sort(paths.begin(), paths.end());  // whatever the order on disk
    for (const fs::path& path : paths)
      if (!is_left_by_a_system(path)) sort_in(path);
  }

  void sort_in(const fs::path& path) {
    std::error_code failure, ignored;
    const fs::file_status status = fs::status(path, failure);
    if (fs::is_directory(status)) {
      if (is_deep_) (fs::is_symlink(path, ignored) ? links_ : folders_).push_back(path);
    } else if (wanted_(path)) {
      found_.files.push_back(path);  // also what cannot be opened: its reader says why
    } else if (failure && status.type() != fs::file_type::not_found) {
      found_.unreadable.push_back({path.string(), why(failure)});
    }
  }

  const std::function<bool(const fs::path&)>& wanted_;
  bool is_deep_;
  SourceFiles found_;
  std::deque<fs::path> folders_, links_;
  std::set<std::pair<dev_t, ino_t>> seen_;
};

// Unicode's NFC; the text itself when it is not UTF-8.
std::string composed_name(const std::string& text) {
  try {
    return utf8_of(composed(code_points(text)));
  } catch (const DataError&) {
    return text;
  }
}

bool is_ascii(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

}  // namespace

SourceFiles files_below(const fs::path& folder, const std::function<bool(const fs::path&)>& wanted, bool is_deep) {
  return Walk(wanted, is_deep).from(folder);
}

bool is_folder(const fs::path& path) {
  std::error_code failure;
  return fs::is_directory(path, failure);
}

bool is_there(const fs::path& path) {
  std::error_code failure;
  const auto packed = parse_packed_path(path.string());
  const fs::file_status status = fs::status(packed ? packed->shard : path, failure);
  // What may not be looked at is there: its reader says what is wrong with it.
  return fs::exists(status) || failure == std::errc::permission_denied;
}

std::string table_name(const fs::path& table) {
  const fs::path name = table.filename();
  return (name.extension() == ".gz" ? name.stem() : name).stem().string();
}

fs::path audio_with_stem(const fs::path& stem) {
  for (const char* extension : {".flac", ".wav", ".ogg", ".opus", ".mp3"})
    if (const fs::path path = stem.string() + extension; is_there(path)) return path;
  return stem.string() + ".flac";
}

std::optional<fs::path> NamedFile::find(const std::vector<fs::path>& places) {
  for (const fs::path& place : places)
    if (is_there(place)) return place;
  for (const fs::path& place : places) {
    if (is_ascii(place.string())) continue;
    if (auto found = respelled(place)) {
      ++num_respelled_;
      return found;
    }
  }
  return std::nullopt;
}

std::optional<fs::path> NamedFile::respelled(const fs::path& place) {
  fs::path path;
  for (const fs::path& part : place) {
    if (is_there(path / part)) {
      path /= part;
      continue;
    }
    const auto& names = names_in(path.empty() ? fs::path(".") : path);
    const std::string name = composed_name(part.string());
    if (names.count(name) != 1) return std::nullopt;
    path /= names.find(name)->second;
  }
  return path;
}

const std::multimap<std::string, std::string>& NamedFile::names_in(const fs::path& folder) {
  const auto [found, is_new] = folders_.try_emplace(folder);
  if (!is_new) return found->second;
  std::error_code failure;
  fs::directory_iterator entry(folder, failure);
  for (; !failure && entry != fs::directory_iterator(); entry.increment(failure)) {
    const std::string name = entry->path().filename().string();
    if (!is_ascii(name)) found->second.emplace(composed_name(name), name);
  }
  return found->second;
}

}  // namespace rehearse
