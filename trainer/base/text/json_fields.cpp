#include "trainer/base/text/json_fields.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "trainer/base/text/printable.h"

namespace rehearse {
namespace {

const nlohmann::json& empty_list() {
  static const nlohmann::json list = nlohmann::json::array();
  return list;
}

const nlohmann::json& empty_object() {
  static const nlohmann::json object = nlohmann::json::object();
  return object;
}

}  // namespace

std::string shown_json(const nlohmann::json& value) {
  constexpr size_t kLongest = 80;
  std::string text = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (text.size() > kLongest) {
    size_t end = kLongest;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    text = text.substr(0, end) + "…";
  }
  return printable(text);
}

JsonFields::JsonFields(const nlohmann::json& object, std::string where, std::string tail)
    : object_(&object), where_(std::move(where)), tail_(std::move(tail)) {
  if (!object.is_object()) throw DataError(where_, ": expected a JSON object; found ", shown_json(object));
}

const nlohmann::json* JsonFields::find(const std::string& name) const {
  auto found = object_->find(name);
  return found == object_->end() || found->is_null() ? nullptr : &*found;
}

void JsonFields::fail(const std::string& name, const std::string& expected) const {
  const auto value = object_->find(name);
  fail(name, expected, value == object_->end() ? "nothing" : shown_json(*value));
}

void JsonFields::fail(const std::string& name, const std::string& expected, const std::string& found) const {
  throw DataError(where_, ": ", name, ": expected ", expected, "; found ", found, tail_);
}

double JsonFields::number(const std::string& name) const {
  const nlohmann::json* value = find(name);
  if (!value) return std::numeric_limits<double>::quiet_NaN();
  if (!value->is_number()) fail(name, "a number");
  return value->get<double>();
}

double JsonFields::required_number(const std::string& name) const {
  if (!find(name)) fail(name, "a number");
  return number(name);
}

uint64_t JsonFields::count(const std::string& name) const {
  const nlohmann::json* value = find(name);
  if (!value) return 0;
  // A number made by another JSON writer may be signed.
  if (value->is_number_unsigned()) return value->get<uint64_t>();
  if (!value->is_number_integer() || value->get<int64_t>() < 0) fail(name, "a whole number >= 0");
  return static_cast<uint64_t>(value->get<int64_t>());
}

uint64_t JsonFields::required_count(const std::string& name) const {
  if (!find(name)) fail(name, "a whole number >= 0");
  return count(name);
}

bool JsonFields::boolean(const std::string& name, bool fallback) const {
  const nlohmann::json* value = find(name);
  if (!value) return fallback;
  if (!value->is_boolean()) fail(name, "true or false");
  return value->get<bool>();
}

std::string JsonFields::text(const std::string& name) const {
  const nlohmann::json* value = find(name);
  if (!value) return "";
  if (!value->is_string()) fail(name, "a text");
  return value->get<std::string>();
}

std::string JsonFields::required_text(const std::string& name) const {
  if (!find(name)) fail(name, "a text");
  return text(name);
}

const nlohmann::json& JsonFields::list(const std::string& name) const {
  const nlohmann::json* value = find(name);
  if (!value) return empty_list();
  if (!value->is_array()) fail(name, "a list");
  return *value;
}

JsonFields JsonFields::child(const std::string& name) const {
  const nlohmann::json* value = find(name);
  if (value && !value->is_object()) fail(name, "an object");
  return JsonFields(value ? *value : empty_object(), concat(where_, ": ", name));
}

nlohmann::json JsonFields::value(const std::string& name) const {
  const nlohmann::json* found = find(name);
  return found ? *found : nlohmann::json();
}

std::map<std::string, std::string> JsonFields::texts() const {
  std::map<std::string, std::string> texts;
  for (const auto& item : object_->items()) texts[item.key()] = required_text(item.key());
  return texts;
}

nlohmann::json parse_json(const std::string& text, const std::string& where) {
  nlohmann::json value = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) {
    constexpr size_t kLongest = 40;
    std::string start = text.substr(0, kLongest);
    throw DataError(where, ": expected JSON; found ", shown_json(start), text.size() > kLongest ? " and more" : "");
  }
  return value;
}

namespace {

// What stands at a byte where JSON ends: Python writes NaN and Infinity, which JSON has not.
std::string word_at(const std::string& text, size_t byte) {
  const size_t at = std::min(byte == 0 ? 0 : byte - 1, text.size());
  if (at >= text.size()) return "the end of the line";
  for (const char* word : {"NaN", "Infinity", "nan", "inf", "None", "True", "False"})
    if (text.compare(at, std::string(word).size(), word) == 0) return word;
  return concat(quoted(text.substr(at), 20), " at byte ", byte);
}

}  // namespace

nlohmann::json parse_json_object(const std::string& text, const std::string& where) {
  using nlohmann::json;
  constexpr int kFieldDepth = 1, kDeepest = 64;  // deeper ones would not fit the stack when they are shown
  std::vector<std::string> names;
  const json::parser_callback_t note_name = [&](int depth, json::parse_event_t event, json& parsed) {
    if (depth > kDeepest) throw DataError(where, ": expected one JSON object; found one nested ", kDeepest, " deep");
    if (event != json::parse_event_t::key || depth != kFieldDepth) return true;
    const std::string& name = parsed.get_ref<const std::string&>();
    if (std::find(names.begin(), names.end(), name) != names.end())
      throw DataError(where, ": ", printable(name), ": expected once in a line; found twice");
    names.push_back(name);
    return true;
  };
  const auto at = [&] { return names.empty() ? where : concat(where, ": ", printable(names.back())); };
  json value;
  try {
    value = json::parse(text, note_name);
  } catch (const json::out_of_range&) {
    throw DataError(at(), ": expected a number that fits 64 bits; found a larger one");
  } catch (const json::parse_error& failure) {
    constexpr size_t kStartBytes = 40;
    throw DataError(at(), ": expected one JSON object; found ",
                    names.empty() ? quoted(text, kStartBytes) : word_at(text, failure.byte));
  }
  if (!value.is_object()) throw DataError(where, ": expected one JSON object; found ", shown_json(value));
  return value;
}

}  // namespace rehearse
