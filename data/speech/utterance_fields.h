// One line of JSON that describes an utterance - ours, or another program's - with the type of every field looked at.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "trainer/base/text/json_fields.h"

namespace rehearse {

// How strictly a line is read. Foreign programs write numbers as text ("2.3") and names as numbers (speaker 12).
enum class FieldRules { kOwn, kForeign };

// All failures are DataErrors "file:line: field: expected …; found … (sample "audio")". Absent and null are the same.
class UtteranceFields {
 public:
  // Throws for anything but one JSON object in UTF-8.
  UtteranceFields(const std::string& where, const std::string& line, FieldRules rules);
  UtteranceFields(const UtteranceFields&) = delete;
  UtteranceFields& operator=(const UtteranceFields&) = delete;

  bool is_given(const char* field) const { return fields_.is_given(field); }
  std::string text(const char* field) const;                         // required; may be empty
  std::string name(const char* field, const char* hint = "") const;  // required; not empty, see expect_name
  std::string optional_name(const char* field) const;                // "" when absent
  std::string path(const char* field) const;                         // required; not empty, no control characters
  std::optional<double> seconds(const char* field) const;
  double required_seconds(const char* field) const;
  std::optional<int> channel() const;  // field `channel`, from 0

  const nlohmann::json& json() const { return object_; }
  // Numbers that were read from text so far.
  int num_converted() const { return num_converted_; }
  [[noreturn]] void fail(const char* field, const std::string& expected, const std::string& found) const {
    fields_.fail(field, expected, found);
  }

 private:
  std::string name_of(const char* field) const;
  double number(const char* field, const char* expected) const;

  nlohmann::json object_;
  JsonFields fields_;
  FieldRules rules_;
  mutable int num_converted_ = 0;
};

constexpr size_t kLongestName = 400;  // bytes
// A name is a key of configurations and a label of metrics: what moves the terminal's cursor or hides in it is none.
bool is_name(const std::string& text);

// For the first line of a file: DataError when it is a JSON array, or one object over several lines.
void expect_json_lines(const std::string& line, const std::string& path);

}  // namespace rehearse
