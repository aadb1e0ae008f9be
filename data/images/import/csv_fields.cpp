#include "data/images/import/csv_fields.h"

#include <algorithm>

namespace rehearse::images {
namespace {

// Reads the field that begins at `at` behind its quotation mark; at is then behind the closing one.
bool read_quoted(std::string_view line, size_t& at, std::string& field) {
  for (++at; at < line.size(); ++at) {
    if (line[at] == '"') {
      ++at;
      if (at >= line.size() || line[at] != '"') return at >= line.size() || line[at] == ',';
    }
    field += line[at];
  }
  return false;
}

}  // namespace

bool split_csv(std::string_view line, std::vector<std::string>& fields) {
  size_t count = 0;
  for (size_t at = 0;; ++at) {
    if (count == fields.size()) fields.emplace_back();
    std::string& field = fields[count++];
    field.clear();
    if (at < line.size() && line[at] == '"') {
      if (!read_quoted(line, at, field)) return false;
    } else {
      const size_t end = std::min(line.find(',', at), line.size());
      field.assign(line.substr(at, end - at));
      if (field.find('"') != std::string::npos) return false;
      at = end;
    }
    if (at >= line.size()) break;
  }
  fields.resize(count);
  return true;
}

}  // namespace rehearse::images
