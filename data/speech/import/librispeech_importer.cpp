// LibriSpeech and corpora laid out like it: <subset>/<speaker>/<chapter>/<speaker>-<chapter>.trans.txt beside the
// audio.
#include <algorithm>
#include <cctype>
#include <map>

#include "data/speech/import/importer.h"
#include "data/speech/import/source_files.h"
#include "data/text/text_lines.h"
#include "trainer/base/error.h"
#include "trainer/base/files.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

constexpr const char* kTranscriptEnd = ".trans.txt";

// What a corpus says of itself in README.TXT and LICENSE.TXT.
struct Statement {
  std::string lang, license;
};

bool is_called(const fs::path& path, const std::string& name) {
  std::string lower = path.filename().string();
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  return lower == name;
}

Statement statement_in(const fs::path& folder) {
  constexpr size_t kMostBytes = 1u << 20;
  Statement said;
  const SourceFiles pages = files_below(
      folder, [](const fs::path& path) { return is_called(path, "readme.txt") || is_called(path, "license.txt"); },
      false);
  for (const fs::path& page : pages.files) {
    std::error_code failure;
    if (!fs::is_regular_file(page, failure) || fs::file_size(page, failure) > kMostBytes || failure) continue;
    const std::string text = read_text(page);
    const auto has = [&](const char* words) { return text.find(words) != std::string::npos; };
    if (has("English speech")) said.lang = "en";
    if (has("CC BY 4.0") || has("CC-BY-4.0") || has("Attribution 4.0") || has("licenses/by/4.0"))
      said.license = "CC-BY-4.0";
  }
  return said;
}

class LibrispeechImporter : public Importer {
 public:
  struct Options {
    static Options from(ConfigNode&) { return {}; }
  };
  static constexpr const char* kExample = "{type: librispeech}";

  LibrispeechImporter(const Options&, const Context&) {}

  ImportedCorpus read(const fs::path& source) const override {
    if (!is_folder(source))
      throw DataError(source.string(), ": expected a folder with *", kTranscriptEnd, "; found no folder");
    const SourceFiles found = files_below(source, [](const fs::path& path) {
      return path.string().ends_with(kTranscriptEnd) || path.filename() == "transcripts.txt";
    });
    Reading reading;
    reading.corpus.skipped = found.unreadable;
    size_t num_others = 0;
    for (const fs::path& path : found.files) {
      const bool is_other = !path.string().ends_with(kTranscriptEnd);
      num_others += is_other ? 1 : 0;
      if (!is_other) read_transcript(path, reading);
    }
    if (found.files.size() > num_others) return std::move(reading.corpus);
    throw DataError(source.string(), ": expected *", kTranscriptEnd, " below it; found ",
                    num_others > 0 ? "transcripts.txt, as in Multilingual LibriSpeech; use `import mls`"
                    : found.unreadable.empty()
                        ? "none"
                        : concat("none, and ", found.unreadable.size(), " folders that cannot be read, the first ",
                                 found.unreadable[0].source));
  }

 private:
  struct Reading {
    ImportedCorpus corpus;
    std::map<fs::path, Statement> statements;  // by folder
  };

  static void read_transcript(const fs::path& path, Reading& reading) {
    const std::string subset = subset_of(path);
    const Statement said = statement_for(path, reading);
    try {
      TextLines lines(path);
      for (std::string line; lines.next(line);) {
        if (line.find_first_not_of(" \t") != std::string::npos)
          add_line(line, path, {said, subset, lines.where()}, reading.corpus);
      }
    } catch (const DataError& failure) {
      reading.corpus.rejected.push_back({path.string(), reason_without_path(path.string(), failure.what())});
    }
  }

  struct Place {
    const Statement& said;
    const std::string& subset;
    std::string where;
  };
  static void add_line(const std::string& line, const fs::path& path, const Place& place, ImportedCorpus& corpus) {
    const size_t space = line.find(' ');
    const std::string name = line.substr(0, space);
    if (name.empty() || name.find('/') != std::string::npos || space == std::string::npos) {
      corpus.rejected.push_back({place.where, "expected \"id text\"; found another line"});
      return;
    }
    Utterance utterance;
    utterance.audio_path = audio_with_stem(path.parent_path() / name).string();
    utterance.text = line.substr(space + 1);
    utterance.domain = "librispeech";
    utterance.speaker = name.substr(0, name.find('-'));
    utterance.lang = place.said.lang;
    utterance.license = place.said.license;
    corpus.items.push_back({std::move(utterance), {place.subset}, place.where, ""});
  }

  // The subset's folder or the corpus' own, above speaker and chapter.
  static Statement statement_for(const fs::path& transcript, Reading& reading) {
    const fs::path subset = fs::absolute(transcript).lexically_normal().parent_path().parent_path().parent_path();
    Statement said;
    for (const fs::path& folder : {subset.parent_path(), subset}) {
      const auto [found, is_new] = reading.statements.try_emplace(folder);
      if (is_new) found->second = statement_in(folder);
      if (!found->second.lang.empty()) said.lang = found->second.lang;
      if (!found->second.license.empty()) said.license = found->second.license;
    }
    return said;
  }

  // The folder above speaker and chapter.
  static std::string subset_of(const fs::path& transcript) {
    return fs::absolute(transcript).lexically_normal().parent_path().parent_path().parent_path().filename().string();
  }
};

REHEARSE_REGISTER(Importer, "librispeech", LibrispeechImporter);

}  // namespace
}  // namespace rehearse
