// Multilingual LibriSpeech: <subset>/transcripts.txt with "id TAB text" beside
// <subset>/audio/<speaker>/<book>/<id>.flac or .opus; an id is <speaker>_<book>_<number>.
#include "data/speech/import/importer.h"
#include "data/speech/import/source_files.h"
#include "data/text/text_lines.h"
#include "trainer/base/error.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

constexpr const char* kTranscripts = "transcripts.txt";

class MlsImporter : public Importer {
 public:
  struct Options {
    static Options from(ConfigNode&) { return {}; }
  };
  static constexpr const char* kExample = "{type: mls}";

  MlsImporter(const Options&, const Context&) {}

  ImportedCorpus read(const fs::path& source) const override {
    if (!is_folder(source))
      throw DataError(source.string(), ": expected a folder with ", kTranscripts, "; found no folder");
    const SourceFiles found = files_below(source, [](const fs::path& path) { return path.filename() == kTranscripts; });
    if (found.files.empty())
      throw DataError(source.string(), ": expected ", kTranscripts, " below it, as in mls_german/train; found none");
    ImportedCorpus corpus;
    corpus.skipped = found.unreadable;
    for (const fs::path& path : found.files) read_transcripts(path, corpus);
    return corpus;
  }

 private:
  static void read_transcripts(const fs::path& path, ImportedCorpus& corpus) {
    const std::string subset = fs::absolute(path).lexically_normal().parent_path().filename().string();
    TextLines lines(path);
    for (std::string line; lines.next(line);) {
      if (line.find_first_not_of(" \t") == std::string::npos) continue;
      const size_t tab = line.find('\t');
      const size_t book = line.find('_'), number = book == std::string::npos ? book : line.find('_', book + 1);
      const bool is_whole = tab != std::string::npos && number < tab && line.find('/') > tab && book > 0 &&
                            line.find('\t', tab + 1) == std::string::npos;
      if (!is_whole) {
        corpus.rejected.push_back({lines.where(), "expected \"speaker_book_number TAB text\"; found another line"});
        continue;
      }
      const std::string name = line.substr(0, tab);
      Utterance utterance;
      utterance.speaker = line.substr(0, book);
      utterance.audio_path = audio_with_stem(path.parent_path() / "audio" / utterance.speaker /
                                             line.substr(book + 1, number - book - 1) / name)
                                 .string();
      utterance.text = line.substr(tab + 1);
      utterance.domain = "mls";
      corpus.items.push_back({std::move(utterance), {subset}, lines.where(), ""});
    }
  }
};

REHEARSE_REGISTER(Importer, "mls", MlsImporter);

}  // namespace
}  // namespace rehearse
