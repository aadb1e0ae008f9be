// Building the value tree of config.h: YAML text to values, merging, overrides, printing. Used by config.cpp alone.
#pragma once

#include <memory>
#include <string>

#include "trainer/base/config/config.h"

namespace rehearse {

// Parses one YAML document whose top is a map; origins are "name:line". Anchors are allowed, duplicate keys are an
// error.
std::unique_ptr<ConfigValue> parse_yaml(const std::string& text, const std::string& name);

// Keys of `over` win; maps merge, everything else is replaced. A map that names another `type` marks what it finds as
// leftover; `{}` empties a map; a map without a value changes nothing.
void merge_into(ConfigValue& base, std::unique_ptr<ConfigValue> over);

// "a.b.0.c=value" or "a.b[0].c=value" with value in YAML, merged as merge_into does; origin "--set".
void apply_override(ConfigValue& root, const std::string& assignment);

std::string print_yaml(const ConfigValue& root, bool with_origin);

// configs/base.yaml as it was when this was built.
const char* base_yaml();

}  // namespace rehearse
