// LibriSpeech and corpora laid out like it: <subset>/<speaker>/<chapter>/<speaker>-<chapter>.trans.txt beside the
// audio.
#include <algorithm>
#include <fstream>

#include "data/importers/importer.h"
#include "trainer/base/error.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

constexpr const char* kTranscriptEnd = ".trans.txt";

class LibrispeechImporter : public Importer {
 public:
  struct Options {
    static Options from(ConfigNode&) { return {}; }
  };
  static constexpr const char* kExample = "{type: librispeech}";

  LibrispeechImporter(const Options&, const Context& context)
      : domain_(context.domain.empty() ? "librispeech" : context.domain) {}

  ImportedCorpus read(const fs::path& source) const override {
    if (!fs::is_directory(source))
      throw DataError(source.string(), ": expected a folder with *", kTranscriptEnd, "; found no folder");
    std::vector<fs::path> transcripts;
    for (const auto& entry : fs::recursive_directory_iterator(source))
      if (entry.path().string().ends_with(kTranscriptEnd)) transcripts.push_back(entry.path());
    std::sort(transcripts.begin(), transcripts.end());
    ImportedCorpus corpus;
    for (const fs::path& transcript : transcripts) read_transcript(transcript, subset_of(transcript), corpus);
    if (transcripts.empty()) throw DataError(source.string(), ": expected *", kTranscriptEnd, " below it; found none");
    return corpus;
  }

 private:
  void read_transcript(const fs::path& path, const std::string& subset, ImportedCorpus& corpus) const {
    std::ifstream file(path);
    std::string line;
    for (size_t number = 1; std::getline(file, line); ++number) {
      if (!line.empty() && line.back() == '\r') line.pop_back();
      if (line.empty()) continue;
      const size_t space = line.find(' ');
      const std::string name = line.substr(0, space);
      if (name.empty() || name.find('/') != std::string::npos) {
        corpus.rejected.push_back({concat(path.string(), ":", number), "expected \"id text\"; found another line"});
        continue;
      }
      Utterance utterance;
      utterance.audio_path = audio_of(path.parent_path() / name).string();
      utterance.text = space == std::string::npos ? "" : line.substr(space + 1);
      utterance.domain = domain_;
      utterance.speaker = name.substr(0, name.find('-'));
      utterance.lang = "en";
      utterance.license = "CC-BY-4.0";
      corpus.items.push_back({std::move(utterance), {subset}});
    }
  }

  // The released audio is FLAC; converted copies keep the name.
  static fs::path audio_of(const fs::path& stem) {
    for (const char* extension : {".flac", ".wav", ".ogg", ".opus", ".mp3"}) {
      const fs::path path = stem.string() + extension;
      if (fs::exists(path)) return path;
    }
    return stem.string() + ".flac";
  }

  // The folder above speaker and chapter.
  static std::string subset_of(const fs::path& transcript) {
    const fs::path above = transcript.parent_path().parent_path().parent_path();
    const fs::path absolute = fs::absolute(above).lexically_normal();
    return absolute.filename().empty() ? absolute.parent_path().filename().string() : absolute.filename().string();
  }

  std::string domain_;
};

REHEARSE_REGISTER(Importer, "librispeech", LibrispeechImporter);

}  // namespace
}  // namespace rehearse
