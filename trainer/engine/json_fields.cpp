#include "trainer/engine/json_fields.h"

#include <limits>
#include <utility>

namespace rehearse {
namespace {

// Enough of a value to recognise it in a message.
std::string shown(const nlohmann::json& value) {
  constexpr size_t kLongest = 60;
  std::string text = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return text.size() <= kLongest ? text : text.substr(0, kLongest) + "…";
}

const nlohmann::json& empty_list() {
  static const nlohmann::json list = nlohmann::json::array();
  return list;
}

const nlohmann::json& empty_object() {
  static const nlohmann::json object = nlohmann::json::object();
  return object;
}

}  // namespace

JsonFields::JsonFields(const nlohmann::json& object, std::string where) : object_(&object), where_(std::move(where)) {
  if (!object.is_object()) throw DataError(where_, ": expected a JSON object; found ", shown(object));
}

const nlohmann::json* JsonFields::find(const std::string& name) const {
  auto found = object_->find(name);
  return found == object_->end() || found->is_null() ? nullptr : &*found;
}

void JsonFields::fail(const std::string& name, const std::string& expected) const {
  const nlohmann::json* value = find(name);
  throw DataError(where_, ": ", name, ": expected ", expected, "; found ", value ? shown(*value) : "nothing");
}

double JsonFields::number(const std::string& name) const {
  const nlohmann::json* value = find(name);
  if (!value) return std::numeric_limits<double>::quiet_NaN();
  if (!value->is_number()) fail(name, "a number");
  return value->get<double>();
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
    throw DataError(where, ": expected JSON; found ", shown(start), text.size() > kLongest ? " and more" : "");
  }
  return value;
}

}  // namespace rehearse
