// Mozilla Common Voice: a language's folder with train.tsv, dev.tsv, test.tsv, validated.tsv and clips/, or one such
// table.
#include <array>
#include <fstream>
#include <map>

#include "data/importers/importer.h"
#include "trainer/base/error.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

constexpr std::array kTables = {"train", "dev", "test", "validated"};
constexpr size_t kSpeakerCharacters = 16;

std::vector<std::string> split_at_tabs(const std::string& line) {
  std::vector<std::string> fields(1);
  for (char c : line) {
    if (c == '\t')
      fields.emplace_back();
    else
      fields.back() += c;
  }
  return fields;
}

// Some releases quote fields as CSV does: "" inside, " around.
std::string unquoted(const std::string& field) {
  if (field.size() < 2 || field.front() != '"' || field.back() != '"') return field;
  std::string text;
  for (size_t i = 1; i + 1 < field.size(); ++i) {
    text += field[i];
    if (field[i] == '"' && i + 2 < field.size() && field[i + 1] == '"') ++i;
  }
  return text;
}

// One row by column name.
class Row {
 public:
  Row(const std::map<std::string, size_t>& columns, std::vector<std::string> fields)
      : columns_(columns), fields_(std::move(fields)) {}
  std::string operator[](const std::string& column) const {
    const auto found = columns_.find(column);
    return found == columns_.end() || found->second >= fields_.size() ? "" : unquoted(fields_[found->second]);
  }

 private:
  const std::map<std::string, size_t>& columns_;
  std::vector<std::string> fields_;
};

class CommonvoiceImporter : public Importer {
 public:
  struct Options {
    static Options from(ConfigNode&) { return {}; }
  };
  static constexpr const char* kExample = "{type: commonvoice}";

  CommonvoiceImporter(const Options&, const Context& context) : domain_(context.domain) {}

  ImportedCorpus read(const fs::path& source) const override {
    Reading reading;
    if (fs::is_regular_file(source)) {
      read_table(source, reading);
      return std::move(reading.corpus);
    }
    bool has_table = false;
    for (const char* name : kTables) {
      const fs::path table = source / (std::string(name) + ".tsv");
      if (!fs::exists(table)) continue;
      has_table = true;
      read_table(table, reading);
    }
    if (!has_table)
      throw DataError(source.string(), ": expected a *.tsv or a folder with train.tsv, dev.tsv, test.tsv or ",
                      "validated.tsv; found neither");
    return std::move(reading.corpus);
  }

 private:
  struct Reading {
    ImportedCorpus corpus;
    std::map<std::string, size_t> item_of_clip;  // validated.tsv repeats the rows of the other tables
  };

  void read_table(const fs::path& table, Reading& reading) const {
    std::ifstream file(table);
    std::string line;
    const std::map<std::string, size_t> columns = read_header(file, table);
    for (size_t number = 2; std::getline(file, line); ++number) {
      if (!line.empty() && line.back() == '\r') line.pop_back();
      if (line.empty()) continue;
      const Row row(columns, split_at_tabs(line));
      if (row["path"].empty()) {
        reading.corpus.rejected.push_back({concat(table.string(), ":", number), "expected a clip in column path"});
        continue;
      }
      add_row(row, table, reading);
    }
  }

  static std::map<std::string, size_t> read_header(std::ifstream& file, const fs::path& table) {
    std::string line;
    std::getline(file, line);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    std::map<std::string, size_t> columns;
    const auto names = split_at_tabs(line);
    for (size_t i = 0; i < names.size(); ++i) columns.emplace(names[i], i);
    for (const char* needed : {"path", "sentence"})
      if (!columns.contains(needed))
        throw DataError(table.string(), ":1: expected tab-separated columns with \"", needed, "\"; found none");
    return columns;
  }

  void add_row(const Row& row, const fs::path& table, Reading& reading) const {
    const fs::path clip = clip_path(table.parent_path(), row["path"]);
    const auto [found, is_new] = reading.item_of_clip.emplace(clip.string(), reading.corpus.items.size());
    if (!is_new) {
      reading.corpus.items[found->second].subsets.push_back(table.stem().string());
      return;
    }
    Utterance utterance;
    utterance.audio_path = clip.string();
    utterance.text = row["sentence"];
    utterance.lang = row["locale"];
    utterance.speaker = row["client_id"].substr(0, kSpeakerCharacters);
    utterance.license = "CC0-1.0";
    const std::string own = utterance.lang.empty() ? "commonvoice" : "commonvoice_" + utterance.lang;
    utterance.domain = domain_.empty() ? own : domain_;
    reading.corpus.items.push_back({std::move(utterance), {table.stem().string()}});
  }

  // Early releases name clips without their extension.
  static fs::path clip_path(const fs::path& folder, const std::string& name) {
    const fs::path path = folder / "clips" / name;
    return path.has_extension() ? path : fs::path(path.string() + ".mp3");
  }

  std::string domain_;
};

REHEARSE_REGISTER(Importer, "commonvoice", CommonvoiceImporter);

}  // namespace
}  // namespace rehearse
