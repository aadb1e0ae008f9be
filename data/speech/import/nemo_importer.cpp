// NeMo manifests: one JSON Lines file, or a folder of them (each file a subset).
#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

#include "data/speech/import/importer.h"
#include "data/speech/import/source_files.h"
#include "data/speech/utterance_fields.h"
#include "data/text/text_lines.h"
#include "trainer/base/error.h"
#include "trainer/base/registry.h"
#include "trainer/base/text/printable.h"
#include "trainer/base/text/words.h"

namespace rehearse {
namespace {

// What other programs call it; the first is NeMo's name.
constexpr std::array kAudioNames = {"audio_filepath", "audio_filename", "audio_file", "audio_path", "audio",
                                    "wav_filename",   "wav_path",       "wav",        "path",       "file"};

std::string audio_name_in(const UtteranceFields& fields) {
  for (const char* name : kAudioNames)
    if (fields.is_given(name)) return name;
  std::vector<std::string> there;
  for (const auto& field : fields.json().items()) there.push_back(field.key());
  fields.fail(kAudioNames[0], "a string", "nothing" + did_you_mean(kAudioNames[0], there));
}

bool is_manifest(const fs::path& path) {
  const std::string name = path.filename().string();
  for (const char* ending : {".json", ".jsonl", ".json.gz", ".jsonl.gz"})
    if (name.ends_with(ending)) return true;
  return false;
}

class NemoImporter : public Importer {
 public:
  struct Options {
    static Options from(ConfigNode&) { return {}; }
  };
  static constexpr const char* kExample = "{type: nemo}";

  NemoImporter(const Options&, const Context&) {}

  ImportedCorpus read(const fs::path& source) const override {
    SourceFiles manifests;
    if (is_folder(source))
      manifests = files_below(source, is_manifest, false);
    else if (is_there(source))
      manifests.files = {source};
    if (manifests.files.empty())
      throw DataError(source.string(), ": expected a JSON Lines file or a folder with *.json or *.jsonl; found ",
                      manifests.unreadable.empty() ? "neither" : "no folder that can be read");
    Reading reading;
    for (const fs::path& manifest : manifests.files) read_file(manifest, reading);
    if (reading.files.num_respelled() > 0)
      reading.corpus.notes["files were found under another spelling of their letters (Unicode's NFC and NFD)"] =
          reading.files.num_respelled();
    return std::move(reading.corpus);
  }

 private:
  struct Reading {
    ImportedCorpus corpus;
    NamedFile files;
  };

  static void read_file(const fs::path& manifest, Reading& reading) {
    TextLines lines(manifest);
    bool is_first = true;
    for (std::string line; lines.next(line);) {
      if (line.find_first_not_of(" \t") == std::string::npos) continue;
      if (std::exchange(is_first, false)) expect_json_lines(line, manifest.string());
      try {
        const UtteranceFields fields(lines.where(), line, FieldRules::kForeign);
        Utterance utterance = utterance_of(fields, manifest, reading);
        reading.corpus.items.push_back(
            {std::move(utterance), {table_name(manifest)}, lines.where(), fields.optional_name("id")});
        if (fields.num_converted() > 0)
          reading.corpus.notes["numbers that are written as text were read as numbers"] +=
              static_cast<size_t>(fields.num_converted());
      } catch (const DataError& failure) {
        reading.corpus.rejected.push_back({lines.where(), reason_without_path(lines.where(), failure.what())});
      }
    }
  }

  static Utterance utterance_of(const UtteranceFields& fields, const fs::path& manifest, Reading& reading) {
    Utterance utterance;
    utterance.text = fields.text("text");
    if (const auto duration_s = fields.seconds("duration")) {
      if (*duration_s <= 0) fields.fail("duration", "> 0, or none at all", concat(*duration_s));
      utterance.duration_s = *duration_s;
    }
    utterance.offset_s = fields.seconds("offset").value_or(0);
    if (utterance.offset_s < 0) fields.fail("offset", ">= 0", concat(utterance.offset_s));
    utterance.channel = fields.channel();
    utterance.lang = fields.optional_name("lang");
    utterance.speaker = fields.optional_name("speaker");
    utterance.license = fields.optional_name("license");
    utterance.domain = fields.optional_name("domain");
    const std::string audio_name = audio_name_in(fields);
    utterance.audio_path = audio_of(fields, audio_name, manifest, reading.files).string();
    if (audio_name != kAudioNames[0])
      ++reading.corpus.notes[concat("lines name their file in ", quoted(audio_name), " instead of \"audio_filepath\"")];
    return utterance;
  }

  // As NeMo does: beside the manifest, else from the working folder; ~ is the home folder.
  static fs::path audio_of(const UtteranceFields& fields, const std::string& audio_name, const fs::path& manifest,
                           NamedFile& files) {
    std::string name = fields.path(audio_name.c_str());
    const char* home = std::getenv("HOME");
    if (name.starts_with("~/") && home != nullptr) name = (fs::path(home) / name.substr(2)).string();
    std::vector<fs::path> places = {manifest.parent_path() / name};
    if (places[0] != name) places.emplace_back(name);
    if (const auto found = files.find(places)) return *found;
    const bool has_two = places.size() > 1;
    fields.fail(audio_name.c_str(), "a file, its path absolute or relative to the manifest or to the working folder",
                concat(has_two ? "neither " : "no ", quoted(places[0].string()),
                       has_two ? concat(" nor ", quoted(places[1].string())) : ""));
  }
};

REHEARSE_REGISTER(Importer, "nemo", NemoImporter);

}  // namespace
}  // namespace rehearse
