// The option --manifest of several verbs.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace rehearse {

// Repeatable; each value is a manifest, or several separated by commas. Returned for ->required().
CLI::Option* add_manifest_option(CLI::App& app, std::vector<std::string>& manifests, const std::string& description);

// "a.jsonl,b.jsonl" as two paths; but a path that is there is taken whole, whatever commas are in it.
std::vector<std::string> split_manifests(const std::string& value);

}  // namespace rehearse
