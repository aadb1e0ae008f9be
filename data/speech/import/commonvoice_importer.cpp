// Mozilla Common Voice: a language's folder with train.tsv, dev.tsv, test.tsv, validated.tsv and clips/, or one such
// table.
#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <optional>

#include "data/speech/import/importer.h"
#include "data/speech/import/source_files.h"
#include "data/text/text_lines.h"
#include "trainer/base/error.h"
#include "trainer/base/registry.h"
#include "trainer/base/text/printable.h"

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

// Quotation marks are text in Common Voice's tables, but some releases write fields as CSV does: all quotes doubled,
// with or without a pair around. Anything else stays as it is.
std::string unquoted(const std::string& field) {
  const bool is_wrapped = field.size() >= 2 && field.front() == '"' && field.back() == '"';
  const std::string inside = is_wrapped ? field.substr(1, field.size() - 2) : field;
  std::string text;
  for (size_t i = 0; i < inside.size(); ++i) {
    text += inside[i];
    if (inside[i] != '"') continue;
    if (i + 1 == inside.size() || inside[i + 1] != '"') return field;
    ++i;
  }
  return text;
}

// A field that a CSV writer would go on with in the next line.
bool is_left_open(const std::string& field) {
  return field.starts_with('"') && std::count(field.begin(), field.end(), '"') % 2 == 1;
}

bool is_language_tag(const std::string& text) {
  constexpr size_t kLongest = 35;
  const auto is_fit = [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_'; };
  return text.size() <= kLongest && std::all_of(text.begin(), text.end(), is_fit);
}

// The columns of one table, in any order and case.
class Columns {
 public:
  Columns(const std::string& line, const fs::path& table) : names_(split_at_tabs(line)) {
    for (size_t i = 0; i < names_.size(); ++i) {
      std::string& name = names_[i];
      name = unquoted(name);
      name.erase(0, name.find_first_not_of(' '));
      name.erase(name.find_last_not_of(' ') + 1);
      std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
      if (!places_.emplace(name, i).second)
        throw DataError(table.string(), ":1: expected every column once; found ", quoted(name), " twice");
    }
    for (const char* needed : {"path", "sentence"})
      if (!places_.contains(needed))
        throw DataError(table.string(), ":1: expected tab-separated columns with \"", needed, "\"; found ",
                        names_.size() == 1 ? concat("no tab in ", quoted(line)) : quoted(line));
  }

  size_t size() const { return names_.size(); }
  bool has(const char* name) const { return places_.contains(name); }
  std::string in(const std::vector<std::string>& row, const char* name) const {
    const auto found = places_.find(name);
    return found == places_.end() ? "" : unquoted(row[found->second]);
  }
  bool is_header(std::vector<std::string> row) const {
    for (std::string& field : row)
      std::transform(field.begin(), field.end(), field.begin(), [](unsigned char c) { return std::tolower(c); });
    return row == names_;
  }

 private:
  std::vector<std::string> names_;
  std::map<std::string, size_t> places_;
};

class CommonvoiceImporter : public Importer {
 public:
  struct Options {
    static Options from(ConfigNode&) { return {}; }
  };
  static constexpr const char* kExample = "{type: commonvoice}";

  CommonvoiceImporter(const Options&, const Context&) {}

  ImportedCorpus read(const fs::path& source) const override {
    ImportedCorpus corpus;
    NamedFile clips;
    if (is_there(source) && !is_folder(source)) {
      Table(source, clips, corpus).read();
    } else {
      const std::vector<fs::path> tables = tables_in(source);
      if (tables.empty())
        throw DataError(source.string(), ": expected a *.tsv or a folder with train.tsv, dev.tsv, test.tsv or ",
                        "validated.tsv; found neither");
      for (const fs::path& table : tables) Table(table, clips, corpus).read();
    }
    if (clips.num_respelled() > 0)
      corpus.notes["clips were found under another spelling of their letters (Unicode's NFC and NFD)"] =
          clips.num_respelled();
    return corpus;
  }

 private:
  static std::vector<fs::path> tables_in(const fs::path& folder) {
    std::vector<fs::path> tables;
    for (const char* name : kTables)
      for (const char* ending : {".tsv", ".tsv.gz"})
        if (const fs::path table = folder / (std::string(name) + ending); is_there(table)) {
          tables.push_back(table);
          break;
        }
    return tables;
  }

  // One table being read.
  class Table {
   public:
    Table(const fs::path& path, NamedFile& clips, ImportedCorpus& corpus)
        : path_(path), subset_(table_name(path)), clips_(clips), corpus_(corpus), lines_(path) {}

    void read() {
      std::string line;
      if (!lines_.next(line)) throw DataError(path_.string(), ": expected a header and rows; found an empty file");
      const Columns columns(line, path_);
      // Other tables with such columns are somebody's own.
      if (columns.has("client_id") && columns.has("up_votes")) license_ = "CC0-1.0";
      while (lines_.next(line)) {
        if (line.empty()) continue;
        const std::vector<std::string> row = split_at_tabs(line);
        const std::string reason = reason_against(columns, row);
        if (reason.empty())
          add(columns, row);
        else
          corpus_.rejected.push_back({lines_.where(), reason});
        is_open_ = reason.empty() && is_left_open(row.back());
      }
    }

   private:
    std::string reason_against(const Columns& columns, const std::vector<std::string>& row) {
      if (columns.is_header(row)) return "expected a row; found the header again";
      if (row.size() != columns.size()) {
        if (is_open_) take_back();
        return concat("expected ", columns.size(), " fields; found ", row.size(),
                      is_open_                                                ? ", after a line break inside quotes"
                      : lines_.is_open_ended() && row.size() < columns.size() ? "; the table may be cut off here"
                                                                              : "");
      }
      if (columns.in(row, "path").empty()) return "path: expected a clip; found nothing";
      if (columns.in(row, "sentence").empty()) return "sentence: expected a text; found nothing";
      const std::string lang = columns.in(row, "locale");
      if (!is_language_tag(lang)) return concat("locale: expected a language such as \"de\"; found ", quoted(lang));
      if (lines_.is_open_ended() && !lang_.empty() && lang != lang_)
        return concat("locale: expected ", quoted(lang_), " as in the rows before; found ", quoted(lang),
                      " where the file ends; the table may be cut off here");
      lang_ = lang;
      return "";
    }

    // The row before had as many fields as it should by chance: its last one goes on in this line.
    void take_back() {
      corpus_.rejected.push_back({corpus_.items.back().origin, "expected a row; found a line break inside quotes"});
      corpus_.items.pop_back();
    }

    void add(const Columns& columns, const std::vector<std::string>& row) {
      Utterance utterance;
      utterance.audio_path = clip_path(columns.in(row, "path")).string();
      utterance.text = columns.in(row, "sentence");
      utterance.lang = columns.in(row, "locale");
      utterance.speaker = columns.in(row, "client_id").substr(0, kSpeakerCharacters);
      utterance.license = license_;
      utterance.domain = utterance.lang.empty() ? "commonvoice" : "commonvoice_" + utterance.lang;
      corpus_.items.push_back({std::move(utterance), {subset_}, lines_.where(), ""});
    }

    // Early releases name clips without their extension.
    fs::path clip_path(const std::string& name) {
      const fs::path path = path_.parent_path() / "clips" / name;
      const fs::path with_mp3 = path.string() + ".mp3";
      return clips_.find({path, with_mp3}).value_or(path.has_extension() ? path : with_mp3);
    }

    fs::path path_;
    std::string subset_, license_, lang_;
    NamedFile& clips_;
    ImportedCorpus& corpus_;
    TextLines lines_;
    bool is_open_ = false;  // the row before ends in an open quotation mark
  };
};

REHEARSE_REGISTER(Importer, "commonvoice", CommonvoiceImporter);

}  // namespace
}  // namespace rehearse
