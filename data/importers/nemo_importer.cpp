// NeMo manifests: one JSON Lines file, or a folder of them (each file a subset).
#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/importers/importer.h"
#include "trainer/base/error.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

using nlohmann::json;

// A text, or a number as text (speaker ids); empty when absent.
std::string text_in(const json& fields, const char* name) {
  const auto found = fields.find(name);
  if (found == fields.end()) return "";
  if (found->is_string()) return found->get<std::string>();
  return found->is_number() ? found->dump() : "";
}

double seconds_in(const json& fields, const char* name) {
  const auto found = fields.find(name);
  return found != fields.end() && found->is_number() ? found->get<double>() : 0.0;
}

class NemoImporter : public Importer {
 public:
  struct Options {
    static Options from(ConfigNode&) { return {}; }
  };
  static constexpr const char* kExample = "{type: nemo}";

  NemoImporter(const Options&, const Context& context) : domain_(context.domain) {}

  ImportedCorpus read(const fs::path& source) const override {
    ImportedCorpus corpus;
    const std::vector<fs::path> manifests = manifests_at(source);
    if (manifests.empty())
      throw DataError(source.string(),
                      ": expected a JSON Lines file or a folder with *.json or *.jsonl; found neither");
    for (const fs::path& manifest : manifests) read_file(manifest, corpus);
    return corpus;
  }

 private:
  static std::vector<fs::path> manifests_at(const fs::path& source) {
    if (fs::is_regular_file(source)) return {source};
    std::vector<fs::path> manifests;
    if (!fs::is_directory(source)) return manifests;
    for (const auto& entry : fs::directory_iterator(source))
      if (entry.path().extension() == ".json" || entry.path().extension() == ".jsonl")
        manifests.push_back(entry.path());
    std::sort(manifests.begin(), manifests.end());
    return manifests;
  }

  void read_file(const fs::path& manifest, ImportedCorpus& corpus) const {
    std::ifstream file(manifest);
    std::string line;
    for (size_t number = 1; std::getline(file, line); ++number) {
      if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
      const json fields = json::parse(line, nullptr, false);
      const std::string reason = reason_against(fields);
      if (reason.empty())
        corpus.items.push_back({utterance_of(fields, manifest), {manifest.stem().string()}});
      else
        corpus.rejected.push_back({concat(manifest.string(), ":", number), reason});
    }
  }

  static std::string reason_against(const json& fields) {
    if (!fields.is_object()) return "expected one JSON object in UTF-8";
    if (text_in(fields, "audio_filepath").empty()) return "audio_filepath: expected a file name";
    if (!fields.contains("text") || !fields["text"].is_string()) return "text: expected a string";
    for (const char* name : {"duration", "offset"})
      if (!(seconds_in(fields, name) >= 0 && std::isfinite(seconds_in(fields, name))))
        return concat(name, ": expected seconds >= 0");
    return "";
  }

  Utterance utterance_of(const json& fields, const fs::path& manifest) const {
    Utterance utterance;
    utterance.audio_path = (manifest.parent_path() / text_in(fields, "audio_filepath")).string();
    utterance.text = text_in(fields, "text");
    utterance.duration_s = seconds_in(fields, "duration");
    utterance.offset_s = seconds_in(fields, "offset");
    utterance.lang = text_in(fields, "lang");
    utterance.speaker = text_in(fields, "speaker");
    utterance.license = text_in(fields, "license");
    utterance.domain = domain_.empty() ? text_in(fields, "domain") : domain_;
    if (utterance.domain.empty()) utterance.domain = manifest.stem().string();
    const std::string id = text_in(fields, "id");
    if (!id.empty()) utterance.id = stable_utterance_id(utterance.domain, id, 0, 0);
    return utterance;
  }

  std::string domain_;
};

REHEARSE_REGISTER(Importer, "nemo", NemoImporter);

}  // namespace
}  // namespace rehearse
