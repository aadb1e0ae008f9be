#include "trainer/checkpoint/checkpoint_diff.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <set>

#include "trainer/base/config/config.h"
#include "trainer/base/text/table.h"

namespace rehearse {
namespace {

using nlohmann::json;
using Texts = std::map<std::string, std::string>;
using Tensors = std::map<std::string, LoadedCheckpoint::Tensor>;

constexpr const char* kAbsent = "absent";

void flatten(const ConfigValue& value, const std::string& path, Texts& texts) {
  switch (value.kind) {
    case ConfigValue::Kind::kNull:
      texts[path] = "null";
      return;
    case ConfigValue::Kind::kScalar:
      texts[path] = value.scalar;
      return;
    case ConfigValue::Kind::kList:
      if (value.list.empty()) texts[path] = "[]";
      for (size_t i = 0; i < value.list.size(); ++i) flatten(*value.list[i], concat(path, "[", i, "]"), texts);
      return;
    case ConfigValue::Kind::kMap:
      if (value.map.empty()) texts[path] = "{}";
      for (const auto& [key, item] : value.map) flatten(*item, path.empty() ? key : path + "." + key, texts);
      return;
  }
}

void flatten(const json& value, const std::string& path, Texts& texts) {
  if (!value.is_object() || value.empty()) {
    texts[path] = value.is_string() ? value.get<std::string>() : value.dump();
    return;
  }
  for (const auto& [key, item] : value.items()) flatten(item, path.empty() ? key : path + "." + key, texts);
}

template <class A>
std::set<std::string> keys_of(const A& a, const A& b) {
  std::set<std::string> keys;
  for (const auto& [key, value] : a) keys.insert(key);
  for (const auto& [key, value] : b) keys.insert(key);
  return keys;
}

std::vector<KeyDifference> differences_of(const Texts& a, const Texts& b) {
  std::vector<KeyDifference> found;
  const auto text_of = [](const Texts& texts, const std::string& key) {
    const auto at = texts.find(key);
    return at == texts.end() ? kAbsent : at->second;
  };
  for (const std::string& key : keys_of(a, b))
    if (const std::string left = text_of(a, key), right = text_of(b, key); left != right)
      found.push_back({key, left, right});
  return found;
}

bool is_same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

std::string figure(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  return text;
}

// Rows of one kind of tensors.
class TensorRows {
 public:
  explicit TensorRows(TextTable& table) : table_(table) {}
  void add(const std::string& prefix, const Tensors& a, const Tensors& b) {
    for (const std::string& name : keys_of(a, b)) {
      const auto left = a.find(name), right = b.find(name);
      ++count_;
      if (left == a.end() || right == b.end())
        add_difference(prefix + name, left == a.end() ? "only in b" : "only in a");
      else if (left->second.shape != right->second.shape)
        add_difference(prefix + name, "other shape");
      else if (is_same_bits(left->second.values, right->second.values))
        table_.add_row({prefix + name, "0", "0", "equal"});
      else
        compare(prefix + name, left->second.values, right->second.values);
    }
  }
  size_t num_different() const { return different_; }
  std::string summary() const {
    std::string text = concat(different_, " of ", count_, " tensors differ");
    if (!largest_.empty()) text += concat("; most by ‖Δ‖/‖a‖: ", largest_, ", ", figure(largest_share_));
    return text + "\n";
  }

 private:
  void add_difference(const std::string& name, const std::string& what) {
    ++different_;
    table_.add_row({name, "-", "-", what});
  }
  // Not a number on either side makes the figures so.
  void compare(const std::string& name, const std::vector<float>& a, const std::vector<float>& b) {
    double largest = 0, squares = 0, reference = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      const double left = static_cast<double>(a[i]), delta = static_cast<double>(b[i]) - left;
      if (!(std::abs(delta) <= largest)) largest = std::abs(delta);
      squares += delta * delta;
      reference += left * left;
    }
    ++different_;
    const double share = std::sqrt(squares) / std::sqrt(reference);
    if (largest_.empty() || !(share <= largest_share_)) largest_ = name, largest_share_ = share;
    table_.add_row({name, figure(std::isnan(squares) ? squares : largest), figure(share), "different"});
  }

  TextTable& table_;
  size_t count_ = 0, different_ = 0;
  std::string largest_;
  double largest_share_ = 0;
};

// Names of arrays that are not the same; the sampler's tables have no order in which a distance would mean something.
std::vector<std::string> different_arrays(const State& a, const State& b) {
  std::vector<std::string> names;
  for (const std::string& name : keys_of(a.arrays, b.arrays)) {
    const auto left = a.arrays.find(name), right = b.arrays.find(name);
    if (left == a.arrays.end() || right == b.arrays.end() || left->second.type != right->second.type ||
        left->second.bytes != right->second.bytes)
      names.push_back(name);
  }
  return names;
}

void add_keys(std::string& text, const std::string& title, const std::vector<KeyDifference>& keys) {
  if (keys.empty()) return;
  TextTable table({{title, TextTable::kLeft}, {"a", TextTable::kLeft}, {"b", TextTable::kLeft}});
  for (const KeyDifference& one : keys) table.add_row({one.key, one.a, one.b});
  text += "\n" + table.text();
}

std::vector<KeyDifference> differences_in(const LoadedCheckpoint& a, const LoadedCheckpoint& b, const char* part) {
  Texts left, right;
  flatten(a.state.values.value(part, json::object()), "", left);
  flatten(b.state.values.value(part, json::object()), "", right);
  return differences_of(left, right);
}

std::string text_of(const LoadedCheckpoint& checkpoint, const std::string& file) {
  const auto found = checkpoint.files.find(file);
  return found == checkpoint.files.end() ? "" : found->second;
}

}  // namespace

std::vector<KeyDifference> config_differences(const std::string& yaml_a, const std::string& yaml_b) {
  Texts a, b;
  if (!yaml_a.empty()) flatten(Config::parse(yaml_a, "a: config.yaml").value(), "", a);
  if (!yaml_b.empty()) flatten(Config::parse(yaml_b, "b: config.yaml").value(), "", b);
  return differences_of(a, b);
}

CheckpointDifference compare_checkpoints(const LoadedCheckpoint& a, const LoadedCheckpoint& b) {
  CheckpointDifference result;
  TextTable table({{"tensor", TextTable::kLeft}, {"max |Δ|"}, {"‖Δ‖/‖a‖"}, {"bits", TextTable::kLeft}});
  TensorRows rows(table);
  rows.add("", a.model, b.model);
  rows.add("optimizer ", a.optimizer, b.optimizer);
  const std::vector<std::string> arrays = different_arrays(a.state, b.state);
  result.is_equal = rows.num_different() == 0 && arrays.empty();

  std::string& text = result.text;
  text = concat("a  ", a.path.string(), ", step ", a.step, "\nb  ", b.path.string(), ", step ", b.step, "\n\n",
                table.text(), rows.summary());
  if (a.state.values.value("arena", json()) != b.state.values.value("arena", json()))
    text +=
        "the optimizer state of a and b lies in different orders of parameters (another number of ranks at the "
        "start)\n";
  for (size_t i = 0; i < arrays.size(); ++i) text += (i ? ", " : "sampler arrays that differ: ") + arrays[i];
  if (!arrays.empty()) text += "\n";
  for (const auto& name : keys_of(a.files, b.files))
    if (name != "state.json" && name != "config.yaml" && text_of(a, name) != text_of(b, name))
      text += name + " differs\n";
  add_keys(text, "configuration", config_differences(text_of(a, "config.yaml"), text_of(b, "config.yaml")));
  add_keys(text, "facts", differences_in(a, b, "facts"));
  add_keys(text, "progress", differences_in(a, b, "progress"));
  return result;
}

}  // namespace rehearse
