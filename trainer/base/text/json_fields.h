// Reads one JSON object with errors that name file, line and field: a value of the wrong type is never "absent".
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "trainer/base/error.h"

namespace rehearse {

// Must not outlive `object`. All reads throw DataError "where: field: expected …; found …".
class JsonFields {
 public:
  // Throws when `object` is not a JSON object. `tail` ends every message: " (sample \"call/17.opus\")".
  JsonFields(const nlohmann::json& object, std::string where, std::string tail = "");

  double number(const std::string& name) const;  // absent or null: NaN
  double required_number(const std::string& name) const;
  uint64_t count(const std::string& name) const;  // a whole number >= 0; absent or null: 0
  uint64_t required_count(const std::string& name) const;
  bool boolean(const std::string& name, bool fallback) const;
  std::string text(const std::string& name) const;  // absent or null: empty
  std::string required_text(const std::string& name) const;
  const nlohmann::json& list(const std::string& name) const;  // absent or null: an empty list
  JsonFields child(const std::string& name) const;            // absent or null: an empty object
  nlohmann::json value(const std::string& name) const;        // of any kind; absent: null
  std::map<std::string, std::string> texts() const;           // of an object whose values are all texts

  bool is_given(const std::string& name) const { return find(name) != nullptr; }
  const nlohmann::json* find(const std::string& name) const;  // null pointer when absent or null
  const nlohmann::json& object() const { return *object_; }
  const std::string& where() const { return where_; }
  [[noreturn]] void fail(const std::string& name, const std::string& expected) const;
  [[noreturn]] void fail(const std::string& name, const std::string& expected, const std::string& found) const;

 private:
  const nlohmann::json* object_;
  std::string where_;
  std::string tail_;
};

// Enough of a value to recognise it in a message; fit for a terminal.
std::string shown_json(const nlohmann::json& value);

// Parses one JSON value; DataError naming `where` on anything else.
nlohmann::json parse_json(const std::string& text, const std::string& where);
// Parses one JSON object whose fields are all named once. DataError naming the field that is not JSON (NaN, 1e400).
nlohmann::json parse_json_object(const std::string& text, const std::string& where);

}  // namespace rehearse
