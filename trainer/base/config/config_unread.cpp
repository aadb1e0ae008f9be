// The keys that nobody read: errors, or leftovers of a map whose type was changed.
#include <algorithm>
#include <map>

#include "trainer/base/config/config.h"
#include "trainer/base/config/config_tree.h"
#include "trainer/base/error.h"
#include "trainer/base/text/words.h"

namespace rehearse {
namespace {

constexpr size_t kFew = 12;  // keys that fit a message

using PathsByKey = std::map<std::string, std::vector<std::string>>;

std::string path_of(const std::string& map, const std::string& key) {
  return map.empty() ? key : map + "." + key;
}

// List items are left out: a key of one block says nothing about a key elsewhere.
void collect_known(const ConfigValue& map, const std::string& path, PathsByKey& known) {
  for (const auto& [key, child] : map.map) {
    if (!child->is_read) continue;
    known[key].push_back(path_of(path, key));
    collect_known(*child, path_of(path, key), known);
  }
}

// A key spelt nearly so in the same map, or else spelt exactly so in the one other place that has it.
std::string suggestion(const ConfigValue& map, const std::string& key, const PathsByKey& known) {
  std::vector<std::string> siblings;
  for (const auto& [name, child] : map.map)
    if (child->is_read) siblings.push_back(name);
  const std::string near = did_you_mean(key, siblings);
  const auto elsewhere = known.find(key);
  if (!near.empty()) return near;
  if (elsewhere != known.end() && elsewhere->second.size() == 1)
    return concat("; did you mean \"", elsewhere->second.front(), "\"?");
  if (siblings.empty() || siblings.size() > kFew) return "";
  return concat(siblings.size() == 1 ? "; the only key there is " : "; the keys there are ", joined(siblings));
}

// Of a map that nobody read and that the base has too: the key that is not as it is there.
const ConfigValue& odd_one(const ConfigValue& value, std::string& path, std::string& key) {
  const auto is_leftover = [](const auto& pair) { return pair.second->is_leftover; };
  if (std::none_of(value.map.begin(), value.map.end(), is_leftover)) return value;
  const auto odd = std::find_if_not(value.map.begin(), value.map.end(), is_leftover);
  if (odd == value.map.end()) return value;
  path = path_of(path, key);
  key = odd->first;
  return odd_one(*odd->second, path, key);
}

void expect_map_read(ConfigValue& map, const std::string& path, const PathsByKey& known) {
  std::erase_if(map.map, [](const auto& pair) { return pair.second->is_leftover && !pair.second->is_read; });
  for (const auto& [key, child] : map.map) {
    const std::string child_path = path_of(path, key);
    if (!child->is_read) {
      std::string where = path, name = key;
      const ConfigValue& odd = odd_one(*child, where, name);
      throw ConfigError(odd.origin, ": ", path_of(where, name), ": expected a known key",
                        where.empty() ? "" : " of " + where, "; found \"", name, "\"",
                        &odd == child.get() ? suggestion(map, key, known) : "");
    }
    expect_map_read(*child, child_path, known);
    for (size_t i = 0; i < child->list.size(); ++i)
      expect_map_read(*child->list[i], concat(child_path, "[", i, "]"), known);
  }
}

bool is_same(const ConfigValue& one, const ConfigValue& other) {
  return one.kind == other.kind && one.scalar == other.scalar &&
         std::equal(one.list.begin(), one.list.end(), other.list.begin(), other.list.end(),
                    [](const auto& a, const auto& b) { return is_same(*a, *b); }) &&
         std::equal(one.map.begin(), one.map.end(), other.map.begin(), other.map.end(),
                    [](const auto& a, const auto& b) { return a.first == b.first && is_same(*a.second, *b.second); });
}

// Whether all of it is as the base has it; what is so is marked.
bool mark_base(ConfigValue& value, const ConfigValue* base) {
  if (!base || base->kind != value.kind) return false;
  bool is_equal = value.kind == ConfigValue::Kind::kMap || is_same(value, *base);
  for (auto& [key, child] : value.map) is_equal = mark_base(*child, base->find(key)) && is_equal;
  value.is_leftover = value.is_leftover || is_equal;
  return is_equal;
}

}  // namespace

void Config::forgive_base() {
  const auto base = parse_yaml(base_yaml(), "base");
  for (auto& [key, child] : root_->map) mark_base(*child, base->find(key));
}

void ConfigNode::expect_all_read() const {
  PathsByKey known;
  collect_known(*value_, path_, known);
  expect_map_read(*value_, path_, known);
}

}  // namespace rehearse
