// The repository as text: which file includes which, and which files see libtorch.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace rehearse::layers {

inline bool starts_with(const std::string& text, const std::string& prefix) {
  return text.rfind(prefix, 0) == 0;
}
inline bool ends_with(const std::string& text, const std::string& suffix) {
  return text.size() >= suffix.size() && text.compare(text.size() - suffix.size(), suffix.size(), suffix) == 0;
}
inline bool is_header(const std::string& path) {
  return ends_with(path, ".h") || ends_with(path, ".cuh");
}
inline bool is_unit(const std::string& path) {
  return ends_with(path, ".cpp") || ends_with(path, ".cu");
}

// Path from the root -> content.
using SourceTree = std::map<std::string, std::string>;

// The files git tracks; without git or its index, everything but build outputs. Of files with a zero byte only the
// names.
inline SourceTree read_repository(const std::string& root) {
  std::vector<std::string> paths;
  if (FILE* pipe = popen(("git -C '" + root + "' ls-files 2>/dev/null").c_str(), "r")) {
    char line[4096];
    while (fgets(line, sizeof line, pipe)) paths.emplace_back(line, std::char_traits<char>::length(line) - 1);
    pclose(pipe);
  }
  if (paths.empty()) {
    static const std::regex kOutput(R"(^(\.git|\.deps|build|build-[^/]*|runs|corpora)(/|$))");
    auto entry = std::filesystem::recursive_directory_iterator(root);
    for (; entry != std::filesystem::recursive_directory_iterator(); ++entry) {
      const std::string path = std::filesystem::relative(entry->path(), root).string();
      if (std::regex_search(path, kOutput)) {
        entry.disable_recursion_pending();
      } else if (entry->is_regular_file()) {
        paths.push_back(path);
      }
    }
  }
  SourceTree tree;
  for (const auto& path : paths) {
    std::ifstream in(root + "/" + path, std::ios::binary);
    std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    tree[path] = text.find('\0') == std::string::npos ? std::move(text) : std::string();
  }
  return tree;
}

// What the #include lines of a file name, as written.
inline std::vector<std::string> includes(const std::string& text) {
  std::vector<std::string> names;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t hash = line.find_first_not_of(" \t");
    if (hash == std::string::npos || line[hash] != '#' || line.find("include", hash) == std::string::npos) continue;
    const size_t open = line.find_first_of("<\"", hash);
    if (open == std::string::npos) continue;
    const size_t close = line.find_first_of(">\"", open + 1);
    if (close != std::string::npos) names.push_back(line.substr(open + 1, close - open - 1));
  }
  return names;
}

// The tree's file that `name` in `path` means: from the root, else from the folder of `path`; empty for foreign
// headers.
inline std::string resolve(const SourceTree& tree, const std::string& path, const std::string& name) {
  if (tree.count(name)) return name;
  const std::string beside = (std::filesystem::path(path).parent_path() / name).lexically_normal().string();
  return tree.count(beside) ? beside : "";
}

inline bool is_torch_header(const std::string& name) {
  return starts_with(name, "ATen/") || starts_with(name, "torch/") || starts_with(name, "c10/");
}

// Sources and headers that include libtorch, directly or through the tree's headers.
inline std::set<std::string> files_that_see_torch(const SourceTree& tree) {
  std::set<std::string> seen;
  for (bool grew = true; grew;) {
    grew = false;
    for (const auto& file : tree) {
      const std::string& path = file.first;
      if (seen.count(path) || !(is_header(path) || is_unit(path))) continue;
      const auto names = includes(file.second);
      const bool sees = std::any_of(names.begin(), names.end(), [&](const std::string& name) {
        return is_torch_header(name) || seen.count(resolve(tree, path, name)) > 0;
      });
      if (!sees) continue;
      seen.insert(path);
      grew = true;
    }
  }
  return seen;
}

}  // namespace rehearse::layers
