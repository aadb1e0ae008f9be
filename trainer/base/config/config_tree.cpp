#include "trainer/base/config/config_tree.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

constexpr int kDeepest = 64;

std::unique_ptr<ConfigValue> convert(const YAML::Node& node, const std::string& name, int depth) {
  if (depth > kDeepest) throw ConfigError(name, ": expected at most ", kDeepest, " nested levels; found more");
  auto value = std::make_unique<ConfigValue>();
  value->origin = concat(name, ":", node.Mark().line + 1);
  if (node.IsScalar()) {
    value->kind = ConfigValue::Kind::kScalar;
    value->scalar = node.Scalar();
    value->is_quoted = node.Tag() == "!";
  } else if (node.IsSequence()) {
    value->kind = ConfigValue::Kind::kList;
    for (const YAML::Node& item : node) value->list.push_back(convert(item, name, depth + 1));
  } else if (node.IsMap()) {
    value->kind = ConfigValue::Kind::kMap;
    std::set<std::string> seen;
    for (const auto& pair : node) {
      if (!pair.first.IsScalar())
        throw ConfigError(value->origin, ": expected plain keys; found a list or map as a key");
      const std::string key = pair.first.Scalar();
      if (!seen.insert(key).second)
        throw ConfigError(name, ":", pair.first.Mark().line + 1, ": expected each key once; found \"", key, "\" again");
      auto child = convert(pair.second, name, depth + 1);
      child->origin = concat(name, ":", pair.first.Mark().line + 1);
      value->map.emplace_back(key, std::move(child));
    }
  }
  return value;
}

void print_scalar(const ConfigValue& value, std::string& out) {
  const std::string& text = value.scalar;
  static const std::string kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-+%@";
  const bool is_plain = !value.is_quoted && !text.empty() && text.find_first_not_of(kPlain) == std::string::npos &&
                        text.front() != '-' && text.front() != '%' && text.front() != '@';
  const bool is_negative_number = !value.is_quoted && text.size() > 1 && text[0] == '-' &&
                                  text.find_first_not_of("-0123456789.eE+") == std::string::npos;
  if (is_plain || is_negative_number) {
    out += text;
    return;
  }
  out += '"';
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n')
      out += "\\n";
    else if (c == '\t')
      out += "\\t";
    else
      out += c;
  }
  out += '"';
}

bool is_flat(const ConfigValue& value) {
  return value.kind == ConfigValue::Kind::kScalar || value.kind == ConfigValue::Kind::kNull ||
         (value.kind == ConfigValue::Kind::kList && value.list.empty()) ||
         (value.kind == ConfigValue::Kind::kMap && value.map.empty());
}

void print_flat(const ConfigValue& value, std::string& out) {
  switch (value.kind) {
    case ConfigValue::Kind::kScalar:
      print_scalar(value, out);
      return;
    case ConfigValue::Kind::kList:
      out += "[]";
      return;
    case ConfigValue::Kind::kMap:
      out += "{}";
      return;
    case ConfigValue::Kind::kNull:
      out += "null";
      return;
  }
}

// `indent` is where the keys of a map or the dashes of a list begin; `is_inline`: the first line is already indented.
void print_block(const ConfigValue& value, int indent, bool is_inline, bool with_origin, std::string& out) {
  const std::string pad(static_cast<size_t>(indent), ' ');
  const auto print_child = [&](const ConfigValue& child, bool under_dash) {
    if (is_flat(child)) {
      out += ' ';
      print_flat(child, out);
      out += with_origin ? "  # " + child.origin + "\n" : "\n";
    } else if (under_dash && child.kind == ConfigValue::Kind::kMap) {
      out += ' ';
      print_block(child, indent + 2, true, with_origin, out);
    } else {
      out += '\n';
      print_block(child, indent + 2, false, with_origin, out);
    }
  };
  for (const auto& [key, child] : value.map) {
    if (!is_inline) out += pad;
    is_inline = false;
    ConfigValue name;
    name.scalar = key;
    print_scalar(name, out);
    out += ':';
    print_child(*child, false);
  }
  for (const auto& child : value.list) {
    out += pad + "-";
    print_child(*child, true);
  }
}

// YAML forbids tabs as indentation, and its parser seldom says so.
bool has_tab(const std::string& text, int line_index) {
  std::istringstream lines(text);
  std::string line;
  for (int i = 0; i <= line_index; ++i) std::getline(lines, line);
  return line.find('\t') != std::string::npos;
}

ConfigValue* step_into(ConfigValue& at, const std::string& key, const std::string& assignment) {
  if (at.kind == ConfigValue::Kind::kList) {
    const bool is_index = !key.empty() && key.size() < 7 && std::all_of(key.begin(), key.end(), ::isdigit);
    if (!is_index || std::stoul(key) >= at.list.size())
      throw ConfigError("--set ", assignment, ": expected an index below ", at.list.size(), "; found \"", key, "\"");
    return at.list[std::stoul(key)].get();
  }
  if (at.kind == ConfigValue::Kind::kScalar)
    throw ConfigError("--set ", assignment, ": expected a map or list above \"", key, "\"; found the value ",
                      at.scalar);
  at.kind = ConfigValue::Kind::kMap;
  at.is_leftover = false;
  if (ConfigValue* child = at.find(key)) return child;
  at.map.emplace_back(key, std::make_unique<ConfigValue>());
  at.map.back().second->origin = "--set";
  return at.map.back().second.get();
}

}  // namespace

std::unique_ptr<ConfigValue> parse_yaml(const std::string& text, const std::string& name) {
  try {
    const YAML::Node node = YAML::Load(text);
    auto value = convert(node, name, 0);
    if (value->kind == ConfigValue::Kind::kNull) value->kind = ConfigValue::Kind::kMap;
    if (value->kind != ConfigValue::Kind::kMap)
      throw ConfigError(name, ": expected a map of keys at the top; found another kind");
    return value;
  } catch (const YAML::Exception& failure) {
    throw ConfigError(name, ":", failure.mark.line + 1, ": expected valid YAML; found ", failure.msg,
                      has_tab(text, failure.mark.line) ? "; this line has a tab: indent with spaces" : "");
  }
}

namespace {

constexpr const char* kFromSet = "--set";

bool names_another_type(const ConfigValue& base, const ConfigValue& over) {
  const ConfigValue* before = base.find("type");
  const ConfigValue* after = over.find("type");
  return after && (!before || before->scalar != after->scalar);
}

// A part of another type reads other keys. What --set gives is meant for the new type, in whatever order it comes.
void mark_leftovers(ConfigValue& map) {
  for (auto& [key, child] : map.map)
    if (child->origin != kFromSet) child->is_leftover = true;
}

void set_origin(ConfigValue& value, const std::string& origin) {
  value.origin = origin;
  for (auto& [key, child] : value.map) set_origin(*child, origin);
  for (auto& item : value.list) set_origin(*item, origin);
}

void override_value(ConfigValue& existing, std::unique_ptr<ConfigValue> over) {
  using Kind = ConfigValue::Kind;
  const bool is_map = existing.kind == Kind::kMap;
  if (is_map && over->kind == Kind::kNull) return;  // a section whose every line is commented out
  if (!is_map || over->kind != Kind::kMap || over->map.empty()) {
    existing = std::move(*over);
    return;
  }
  if (names_another_type(existing, *over)) mark_leftovers(existing);
  existing.is_leftover = false;
  existing.origin = over->origin;
  merge_into(existing, std::move(over));
}

// Messages write list items as blocks[0], the parts of a path are parted by dots: "blocks[0].stride" is
// "blocks.0.stride".
std::vector<std::string> parts_of(const std::string& path) {
  std::vector<std::string> parts(1);
  for (char c : path) {
    if (c == '.' || c == '[')
      parts.emplace_back();
    else if (c != ']')
      parts.back() += c;
  }
  return parts;
}

}  // namespace

void merge_into(ConfigValue& base, std::unique_ptr<ConfigValue> over) {
  for (auto& [key, child] : over->map) {
    if (ConfigValue* existing = base.find(key))
      override_value(*existing, std::move(child));
    else
      base.map.emplace_back(key, std::move(child));
  }
}

void apply_override(ConfigValue& root, const std::string& assignment) {
  const size_t equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0)
    throw ConfigError("--set ", assignment, ": expected key=value; found no \"=\" behind a key");
  auto wrapped = parse_yaml("value: " + assignment.substr(equals + 1), "--set " + assignment);
  std::unique_ptr<ConfigValue> value = std::move(wrapped->map.front().second);
  if (value->kind == ConfigValue::Kind::kNull)
    throw ConfigError("--set ", assignment, ": expected a value behind \"=\"; found nothing; an empty text is '\"\"'");
  set_origin(*value, kFromSet);
  ConfigValue *at = &root, *above = nullptr;
  const std::vector<std::string> parts = parts_of(assignment.substr(0, equals));
  for (const std::string& part : parts) {
    above = at;
    at = step_into(*at, part, assignment);
  }
  if (parts.back() == "type" && at->scalar != value->scalar) mark_leftovers(*above);
  override_value(*at, std::move(value));
}

std::string print_yaml(const ConfigValue& root, bool with_origin) {
  std::string out;
  print_block(root, 0, false, with_origin, out);
  return out;
}

}  // namespace rehearse
