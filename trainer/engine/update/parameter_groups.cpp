#include "trainer/engine/update/parameter_groups.h"

#include <ATen/core/Tensor.h>

#include <algorithm>

namespace rehearse {
namespace {

bool is_under(const std::string& name, const std::string& prefix) {
  return name == prefix || name.starts_with(prefix + ".");
}

std::string first_part(const std::string& name, int parts) {
  size_t end = 0;
  for (int i = 0; i < parts && end != std::string::npos; ++i) end = name.find('.', end + (i > 0));
  return name.substr(0, end);
}

// "head, blocks.0, blocks.1 …" for messages.
std::string known_prefixes(const Arena& arena) {
  std::vector<std::string> known;
  for (const Segment& segment : arena.segments()) {
    const std::string prefix = first_part(segment.name, segment.name.starts_with("blocks.") ? 2 : 1);
    if (std::find(known.begin(), known.end(), prefix) == known.end()) known.insert(known.begin(), prefix);
  }
  std::string text;
  for (const std::string& one : known) text += (text.empty() ? "" : ", ") + one;
  return text;
}

// Calls `apply` on every segment under the prefix.
template <class Apply>
void for_each_under(ConfigNode& node, const std::string& key, const std::string& prefix, Arena& arena, Apply apply) {
  bool is_found = false;
  for (size_t i = 0; i < arena.segments().size(); ++i) {
    if (!is_under(arena.segments()[i].name, prefix)) continue;
    is_found = true;
    apply(i);
  }
  if (!is_found)
    node.fail(key, concat("expected the beginning of parameter names (", known_prefixes(arena), "); found \"", prefix,
                          "\", which none has"));
}

// Running statistics stay with the weight that they belong to.
void freeze_buffers(Arena& arena) {
  for (Segment& buffer : arena.buffer_segments()) {
    const std::string weight = buffer.name.substr(0, buffer.name.rfind('.')) + ".weight";
    for (const Segment& segment : arena.segments())
      if (segment.name == weight) buffer.is_frozen = segment.is_frozen;
  }
}

}  // namespace

void apply_parameter_groups(ConfigNode optimizer, Arena& arena) {
  ConfigNode scales = optimizer.child("lr_scale");
  std::vector<std::string> prefixes = scales.keys();
  std::sort(prefixes.begin(), prefixes.end(), [](const auto& a, const auto& b) { return a.size() < b.size(); });
  for (const std::string& prefix : prefixes) {
    const double scale = scales.required_number(prefix, {0, 1000});
    for_each_under(scales, prefix, prefix, arena, [&](size_t i) { arena.segments()[i].lr_scale = scale; });
  }
  for (const std::string& prefix : optimizer.texts("frozen", {}))
    for_each_under(optimizer, "frozen", prefix, arena, [&](size_t i) {
      arena.segments()[i].is_frozen = true;
      arena.tensor(i).set_requires_grad(false);
    });
  freeze_buffers(arena);
  if (std::all_of(arena.segments().begin(), arena.segments().end(), [](const Segment& s) { return s.is_frozen; }))
    optimizer.fail("frozen", "expected something left to train; found every parameter frozen; leave one out");
}

}  // namespace rehearse
