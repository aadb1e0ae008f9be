// Strict YAML configuration: typed, ranged reads that remember where every value came from.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace rehearse {

// One value of the tree with its origin ("file:line", "--set" or "default").
struct ConfigValue {
  enum class Kind { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  std::string scalar;
  bool is_quoted = false;
  std::vector<std::unique_ptr<ConfigValue>> list;
  std::vector<std::pair<std::string, std::unique_ptr<ConfigValue>>> map;  // in file order
  std::string origin;
  bool is_read = false;
  bool is_leftover = false;  // its map has got another `type` since: dropped where nobody reads it

  ConfigValue* find(const std::string& key) const;
  std::unique_ptr<ConfigValue> clone() const;
};

template <class T>
struct Range {
  T min = std::numeric_limits<T>::lowest();
  T max = std::numeric_limits<T>::max();
};

// A handle on a map of the tree; cheap to copy; must not outlive its Config. A read of an absent key records the
// default, so that after all parts have read their options the tree is the complete resolved configuration. All reads
// throw ConfigError "file:line: path: expected …; found …".
class ConfigNode {
 public:
  // place: the origin of the nearest map above that somebody wrote, for messages about a map that nobody did.
  ConfigNode(ConfigValue* value, std::string path, const std::string& place = "");

  bool has(const std::string& key) const;  // present; does not mark it as read

  // Optional keys: the fallback is the documented default where the key is absent. A key without a value is an error.
  int64_t integer(const std::string& key, int64_t fallback, Range<int64_t> range = {});
  double number(const std::string& key, double fallback, Range<double> range = {});
  bool boolean(const std::string& key, bool fallback);
  std::string text(const std::string& key, const std::string& fallback);
  std::string choice(const std::string& key, const std::string& fallback, const std::vector<std::string>& allowed);
  std::vector<std::string> texts(const std::string& key, const std::vector<std::string>& fallback);
  std::vector<double> numbers(const std::string& key, const std::vector<double>& fallback, Range<double> range = {});

  // Required keys: absence is an error.
  int64_t required_integer(const std::string& key, Range<int64_t> range = {});
  double required_number(const std::string& key, Range<double> range = {});
  std::string required_text(const std::string& key);

  ConfigNode child(const std::string& key);                  // a map; absent or without a value means empty
  std::vector<ConfigNode> children(const std::string& key);  // a list of maps; absent means empty
  std::vector<std::string> keys() const;  // of this map, in file order; for maps with free keys (domains)

  const std::string& path() const { return path_; }
  std::string where() const;                        // "file:line: path" of this map
  std::string where(const std::string& key) const;  // of one value
  [[noreturn]] void fail(const std::string& key, const std::string& expected_found) const;

  // Throws on the first key that nobody has read, naming the nearest known key; drops leftovers that nobody has read.
  // Call it once all options are read.
  void expect_all_read() const;

 private:
  ConfigValue* read(const std::string& key, const std::string& fallback);
  ConfigValue* value_;
  std::string path_;
  std::string place_;
};

// Owns a resolved tree: file, what it extends, then --set overrides ("a.b.c=value", list items as
// "model.blocks.0.stride=2" or "model.blocks[0].stride=2"). Which value wins: configs/README.md.
class Config {
 public:
  static Config load(const std::string& path, const std::vector<std::string>& overrides = {});
  static Config parse(const std::string& yaml, const std::string& name = "<text>");

  ConfigNode root() { return ConfigNode(root_.get(), ""); }
  const ConfigValue& value() const { return *root_; }
  // What nobody reads and is as the built-in base has it is dropped by expect_all_read() instead of being an error.
  void forgive_base();
  // YAML of everything present and every default read so far; with_origin adds "# origin" to each value.
  std::string resolved(bool with_origin = false) const;

 private:
  std::unique_ptr<ConfigValue> root_;
};

}  // namespace rehearse
