#include "trainer/base/config/config.h"

#include <charconv>
#include <cmath>

#include "trainer/base/config/config_tree.h"
#include "trainer/base/error.h"
#include "trainer/base/files.h"
#include "trainer/base/text/printable.h"
#include "trainer/base/text/words.h"

namespace rehearse {
namespace {

using Kind = ConfigValue::Kind;

constexpr const char* kDefault = "default";
constexpr const char* kBase = "base";  // the configuration with every key that is built in

const char* describe(const ConfigValue& value) {
  switch (value.kind) {
    case Kind::kNull:
      return "nothing";
    case Kind::kScalar:
      return "a value";
    case Kind::kList:
      return "a list";
    case Kind::kMap:
      return "a map";
  }
  return "?";
}

std::string show(const ConfigValue& value) {
  return value.kind == Kind::kScalar ? (value.is_quoted ? "\"" + value.scalar + "\"" : value.scalar) : describe(value);
}

template <class T>
bool parse_number(const ConfigValue& value, T& out) {
  if (value.kind != Kind::kScalar || value.is_quoted) return false;
  const char* begin = value.scalar.data();
  const char* end = begin + value.scalar.size();
  if (begin != end && *begin == '+') ++begin;
  const auto result = std::from_chars(begin, end, out);
  return result.ec == std::errc() && result.ptr == end;
}

template <class T>
std::string describe_range(const char* type, Range<T> range) {
  const bool has_min = range.min != std::numeric_limits<T>::lowest();
  const bool has_max = range.max != std::numeric_limits<T>::max();
  if (has_min && has_max) return concat(type, " from ", range.min, " to ", range.max);
  if (has_min) return concat(type, " of at least ", range.min);
  if (has_max) return concat(type, " of at most ", range.max);
  return type;
}

std::string shortest(double number) {
  char buffer[32];
  const auto result = std::to_chars(buffer, buffer + sizeof buffer, number);
  return std::string(buffer, result.ptr);
}

std::unique_ptr<ConfigValue> make_scalar(const std::string& text, const std::string& origin, bool is_quoted = false) {
  auto value = std::make_unique<ConfigValue>();
  value->kind = Kind::kScalar;
  value->scalar = text;
  value->origin = origin;
  value->is_quoted = is_quoted;
  value->is_read = true;
  return value;
}

// Relative to the folder of the file that says it, wherever rehearse is started.
std::string extended_file(const ConfigValue& extends, const std::string& path) {
  const fs::path folder = fs::path(path).parent_path(), file = folder / extends.scalar;
  std::error_code absent;
  if (fs::is_regular_file(file, absent)) return file.string();
  throw ConfigError(extends.origin, ": extends: expected a file, named from ",
                    folder.empty() ? "the folder" : rehearse::quoted(folder.string()),
                    ", where this file is, or \"base\", which is built in; found no ", rehearse::quoted(file.string()));
}

std::unique_ptr<ConfigValue> load_file(const std::string& path, int depth) {
  if (depth > 16) throw ConfigError(path, ": expected at most 16 files to extend; found a circle of `extends`");
  std::string text;
  try {
    text = read_text(path);
  } catch (const DataError& failure) {
    throw ConfigError(failure.what(), "; give the path of a YAML configuration");
  }
  auto own = parse_yaml(text, path);
  ConfigValue* extends = own->find("extends");
  if (!extends) return own;
  if (extends->kind != Kind::kScalar)
    throw ConfigError(extends->origin, ": extends: expected a file name; found ", describe(*extends));
  auto base =
      extends->scalar == kBase ? parse_yaml(base_yaml(), kBase) : load_file(extended_file(*extends, path), depth + 1);
  std::erase_if(own->map, [](const auto& pair) { return pair.first == "extends"; });
  merge_into(*base, std::move(own));
  return base;
}

}  // namespace

ConfigValue* ConfigValue::find(const std::string& key) const {
  for (const auto& [name, child] : map)
    if (name == key) return child.get();
  return nullptr;
}

std::unique_ptr<ConfigValue> ConfigValue::clone() const {
  auto copy = std::make_unique<ConfigValue>();
  copy->kind = kind;
  copy->scalar = scalar;
  copy->is_quoted = is_quoted;
  copy->origin = origin;
  copy->is_read = is_read;
  copy->is_leftover = is_leftover;
  for (const auto& item : list) copy->list.push_back(item->clone());
  for (const auto& [key, child] : map) copy->map.emplace_back(key, child->clone());
  return copy;
}

Config Config::load(const std::string& path, const std::vector<std::string>& overrides) {
  Config config;
  config.root_ = load_file(path, 0);
  config.root_->origin = path;  // what is missing is missing there, not in the file that it extends
  for (const std::string& assignment : overrides) apply_override(*config.root_, assignment);
  return config;
}

Config Config::parse(const std::string& yaml, const std::string& name) {
  Config config;
  config.root_ = parse_yaml(yaml, name);
  return config;
}

std::string Config::resolved(bool with_origin) const {
  return print_yaml(*root_, with_origin);
}

bool ConfigNode::has(const std::string& key) const {
  return value_->find(key) != nullptr;
}

ConfigValue* ConfigNode::read(const std::string& key, const std::string& fallback) {
  ConfigValue* value = value_->find(key);
  if (!value) {
    value_->kind = Kind::kMap;
    value = value_->map.emplace_back(key, make_scalar(fallback, kDefault)).second.get();
  }
  value->is_read = true;
  return value;
}

ConfigNode::ConfigNode(ConfigValue* value, std::string path, const std::string& place)
    : value_(value), path_(std::move(path)), place_(value->origin == kDefault ? place : value->origin) {}

std::string ConfigNode::where() const {
  return path_.empty() ? place_ : place_ + ": " + path_;
}

std::string ConfigNode::where(const std::string& key) const {
  const ConfigValue* value = value_->find(key);
  const bool is_written = value && value->origin != kDefault;
  return (is_written ? value->origin : place_) + ": " + (path_.empty() ? key : path_ + "." + key);
}

void ConfigNode::fail(const std::string& key, const std::string& expected_found) const {
  throw ConfigError(where(key), ": ", expected_found);
}

int64_t ConfigNode::integer(const std::string& key, int64_t fallback, Range<int64_t> range) {
  const ConfigValue* value = read(key, std::to_string(fallback));
  int64_t number = 0;
  if (!parse_number(*value, number) || number < range.min || number > range.max)
    fail(key, concat("expected ", describe_range("a whole number", range), "; found ", show(*value)));
  return number;
}

double ConfigNode::number(const std::string& key, double fallback, Range<double> range) {
  const ConfigValue* value = read(key, shortest(fallback));
  double number = 0;
  if (!parse_number(*value, number) || !std::isfinite(number) || number < range.min || number > range.max)
    fail(key, concat("expected ", describe_range("a number", range), "; found ", show(*value)));
  return number;
}

bool ConfigNode::boolean(const std::string& key, bool fallback) {
  const ConfigValue* value = read(key, fallback ? "true" : "false");
  if (value->kind == Kind::kScalar && !value->is_quoted) {
    if (value->scalar == "true") return true;
    if (value->scalar == "false") return false;
  }
  fail(key, concat("expected true or false; found ", show(*value)));
}

std::string ConfigNode::text(const std::string& key, const std::string& fallback) {
  const ConfigValue* value = read(key, fallback);
  if (value->kind != Kind::kScalar) fail(key, concat("expected a text; found ", describe(*value)));
  return value->scalar;
}

std::string ConfigNode::choice(const std::string& key, const std::string& fallback,
                               const std::vector<std::string>& allowed) {
  const ConfigValue* value = read(key, fallback);
  if (value->kind != Kind::kScalar)
    fail(key, concat("expected one of ", joined(allowed), "; found ", describe(*value)));
  expect_one_of(where(key), value->scalar, allowed);
  return value->scalar;
}

std::vector<std::string> ConfigNode::texts(const std::string& key, const std::vector<std::string>& fallback) {
  if (!has(key)) {
    ConfigValue* value = read(key, "");
    value->kind = Kind::kList;
    for (const std::string& item : fallback) value->list.push_back(make_scalar(item, kDefault, true));
    return fallback;
  }
  const ConfigValue* value = read(key, "");
  if (value->kind != Kind::kList) fail(key, concat("expected a list of texts; found ", show(*value)));
  std::vector<std::string> items;
  for (const auto& item : value->list) {
    if (item->kind != Kind::kScalar) fail(key, concat("expected a list of texts; found ", describe(*item), " in it"));
    items.push_back(item->scalar);
  }
  return items;
}

std::vector<double> ConfigNode::numbers(const std::string& key, const std::vector<double>& fallback,
                                        Range<double> range) {
  if (!has(key)) {
    ConfigValue* value = read(key, "");
    value->kind = Kind::kList;
    for (double item : fallback) value->list.push_back(make_scalar(shortest(item), kDefault));
    return fallback;
  }
  const ConfigValue* value = read(key, "");
  if (value->kind != Kind::kList) fail(key, concat("expected a list of numbers; found ", show(*value)));
  std::vector<double> items;
  for (const auto& item : value->list) {
    double number = 0;
    if (!parse_number(*item, number) || !std::isfinite(number) || number < range.min || number > range.max)
      fail(key, concat("expected a list with ", describe_range("a number", range), " each; found ", show(*item)));
    items.push_back(number);
  }
  return items;
}

int64_t ConfigNode::required_integer(const std::string& key, Range<int64_t> range) {
  if (!has(key)) fail(key, concat("expected ", describe_range("a whole number", range), "; found nothing"));
  return integer(key, 0, range);
}

double ConfigNode::required_number(const std::string& key, Range<double> range) {
  if (!has(key)) fail(key, concat("expected ", describe_range("a number", range), "; found nothing"));
  return number(key, 0, range);
}

std::string ConfigNode::required_text(const std::string& key) {
  if (!has(key)) fail(key, "expected a text; found nothing");
  return text(key, "");
}

ConfigNode ConfigNode::child(const std::string& key) {
  ConfigValue* value = value_->find(key);
  const bool is_absent = !value;
  if (is_absent) value = read(key, "");
  if (is_absent || value->kind == Kind::kNull) value->kind = Kind::kMap;
  value->is_read = true;
  if (value->kind != Kind::kMap) fail(key, concat("expected a map; found ", show(*value)));
  return ConfigNode(value, path_.empty() ? key : path_ + "." + key, place_);
}

std::vector<ConfigNode> ConfigNode::children(const std::string& key) {
  ConfigValue* value = value_->find(key);
  if (!value) {
    value = read(key, "");
    value->kind = Kind::kList;
  }
  value->is_read = true;
  if (value->kind != Kind::kList) fail(key, concat("expected a list of maps; found ", show(*value)));
  std::vector<ConfigNode> nodes;
  for (size_t i = 0; i < value->list.size(); ++i) {
    ConfigValue* item = value->list[i].get();
    const std::string item_path = concat(path_.empty() ? key : path_ + "." + key, "[", i, "]");
    if (item->kind != Kind::kMap)
      throw ConfigError(item->origin, ": ", item_path, ": expected a map; found ", show(*item));
    item->is_read = true;
    nodes.emplace_back(item, item_path, place_);
  }
  return nodes;
}

std::vector<std::string> ConfigNode::keys() const {
  std::vector<std::string> names;
  for (const auto& pair : value_->map) names.push_back(pair.first);
  return names;
}

}  // namespace rehearse
