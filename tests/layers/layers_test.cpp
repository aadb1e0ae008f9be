// The rules of the tree that no compiler checks. Each rule is tried on a small broken tree, then on the repository.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <iostream>

#include "tests/layers/source_tree.h"

namespace rehearse::layers {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;
using Findings = std::vector<std::string>;

constexpr size_t kMaxTorchUnits = 120;
constexpr size_t kMaxLines = 500;

const SourceTree& repository() {
  static const SourceTree kTree = read_repository(REHEARSE_SOURCE_DIR);
  return kTree;
}

// Left to right; folders of one level are siblings. -1: no product code.
struct Layer {
  std::string folder;
  int level = -1;
};
Layer layer_of(const std::string& path) {
  // A folder's own rooms come before it.
  static const std::vector<Layer> kLayers = {{"trainer/base/", 0},     {"data/", 1},
                                             {"models/", 1},           {"trainer/comm/", 1},
                                             {"trainer/device/", 2},   {"trainer/checkpoint/", 3},
                                             {"trainer/observe/", 4},  {"trainer/tasks/speech/", 7},
                                             {"trainer/tasks/", 5},    {"trainer/engine/", 6},
                                             {"trainer/report/", 7},   {"trainer/examine/", 7},
                                             {"trainer/commands/", 8}, {"trainer/main.cpp", 10}};
  // A task's verbs stand beside those that belong to none.
  static const std::regex kVerbs(R"(^trainer/tasks/[a-z0-9_]+/verbs/)");
  if (std::smatch room; std::regex_search(path, room, kVerbs)) return {room.str(), 9};
  for (const auto& layer : kLayers) {
    if (starts_with(path, layer.folder)) return layer;
  }
  return {};
}

Findings includes_that_point_right(const SourceTree& tree) {
  Findings found;
  for (const auto& [path, text] : tree) {
    const Layer from = layer_of(path);
    if (from.level < 0) continue;
    for (const auto& name : includes(text)) {
      const std::string target = resolve(tree, path, name);
      if (target.empty()) continue;
      const Layer to = layer_of(target);
      const bool is_allowed = to.level >= 0 && (to.level < from.level || to.folder == from.folder);
      if (!is_allowed) found.push_back(path + " includes " + target);
    }
  }
  return found;
}

Findings torch_where_it_must_not_be(const SourceTree& tree) {
  static const std::regex kTorchFree(
      R"(^(trainer/(base|comm)/|data/(loader/|text/|sampler/|images/|speech/(?!features/))))");
  Findings found;
  for (const auto& path : files_that_see_torch(tree)) {
    if (std::regex_search(path, kTorchFree)) found.push_back(path);
  }
  return found;
}

// torch carries another fmt than the system's spdlog needs: one file that sees both does not compile, and a header
// brings them together sooner or later.
Findings misplaced_fmt(const SourceTree& tree) {
  const auto torch = files_that_see_torch(tree);
  Findings found;
  for (const auto& [path, text] : tree) {
    if (!is_header(path) && !torch.count(path)) continue;
    for (const auto& name : includes(text)) {
      if (starts_with(name, "fmt/") || starts_with(name, "spdlog/")) found.push_back(path + " includes " + name);
    }
  }
  return found;
}

Findings long_files(const SourceTree& tree) {
  static const std::regex kSource(R"((\.(cpp|cu|h|cuh|py|sh|cmake)|CMakeLists\.txt)$)");
  Findings found;
  for (const auto& [path, text] : tree) {
    const size_t lines = static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
    if (lines > kMaxLines && std::regex_search(path, kSource)) found.push_back(path + ": " + std::to_string(lines));
  }
  return found;
}

// Absolute paths that exist on one machine only. Put together here so that this file does not find itself.
Findings machine_paths(const SourceTree& tree) {
  static const std::vector<std::string> kFolders = {"work", "home", "root", "Users"};
  Findings found;
  for (const auto& [path, text] : tree) {
    for (const auto& folder : kFolders) {
      const std::string needle = "/" + folder + "/";
      for (size_t at = text.find(needle); at != std::string::npos; at = text.find(needle, at + 1)) {
        const char before = at == 0 ? ' ' : text[at - 1];
        const bool starts_path = !std::isalnum(static_cast<unsigned char>(before)) && !strchr("_.-~/}$)*", before);
        if (!starts_path) continue;
        const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n');
        found.push_back(path + ":" + std::to_string(line));
      }
    }
  }
  return found;
}

TEST(Layers, IncludesOfEverySpellingAreRead) {
  EXPECT_THAT(includes("#include <a/b.h>\n  # include \"c.h\"\n// text\n#pragma once\nint include;\n"),
              ElementsAre("a/b.h", "c.h"));
}

TEST(Layers, AnIncludeThatPointsRightIsFound) {
  const SourceTree tree = {{"trainer/base/a.h", "#include \"data/b.h\"\n"},
                           {"data/b.h", "#include \"trainer/base/a.h\"\n#include <vector>\n"},
                           {"data/c.h", "#include \"models/d.h\"\n#include \"b.h\"\n"},
                           {"models/d.h", "#include \"trainer/comm/e.h\"\n"},
                           {"trainer/comm/e.h", ""},
                           {"tests/f.h", ""},
                           {"trainer/commands/h.h", ""},
                           {"trainer/tasks/i/verbs/j.cpp", "#include \"trainer/commands/h.h\"\n"},
                           {"trainer/tasks/i/k.cpp", "#include \"trainer/commands/h.h\"\n"},
                           {"trainer/tasks/g.cpp", "#include \"models/d.h\"\n#include \"tests/f.h\"\n"}};
  EXPECT_THAT(includes_that_point_right(tree),
              UnorderedElementsAre("trainer/base/a.h includes data/b.h", "data/c.h includes models/d.h",
                                   "models/d.h includes trainer/comm/e.h", "trainer/tasks/g.cpp includes tests/f.h",
                                   "trainer/tasks/i/k.cpp includes trainer/commands/h.h"));
}

TEST(Layers, IncludesPointLeftOnly) {
  EXPECT_THAT(includes_that_point_right(repository()), IsEmpty());
}

TEST(Layers, TorchIsSeenThroughHeaders) {
  const SourceTree tree = {{"models/a.h", "#include <ATen/core/Tensor.h>\n"},
                           {"models/b.h", "#include \"models/a.h\"\n"},
                           {"models/b.cpp", "#include \"b.h\"\n"},
                           {"models/c.cpp", "#include <vector>\n"},
                           {"data/text/d.cpp", "#include \"models/b.h\"\n"}};
  EXPECT_THAT(files_that_see_torch(tree), ElementsAre("data/text/d.cpp", "models/a.h", "models/b.cpp", "models/b.h"));
  EXPECT_THAT(torch_where_it_must_not_be(tree), ElementsAre("data/text/d.cpp"));
}

TEST(Layers, TorchIsSeenThroughAnyNumberOfHeadersInAnyOrder) {
  SourceTree tree = {{"m/9.h", "#include <torch/torch.h>\n#include <ATen/ATen.h>\n"}};
  for (int i = 8; i >= 0; --i) {  // every pass over the names in order finds one more
    const std::string next = "#include \"m/" + std::to_string(i + 1) + ".h\"\n";
    tree["m/" + std::to_string(i) + ".h"] = next + "#include <vector>\n" + next;
  }
  tree["a.cpp"] = "#include \"m/0.h\"\n";
  EXPECT_EQ(files_that_see_torch(tree).size(), 11u);
}

TEST(Layers, TorchStaysOutOfBaseCommAndMetadata) {
  EXPECT_THAT(torch_where_it_must_not_be(repository()), IsEmpty());
}

TEST(Layers, FewFilesSeeTorch) {
  std::string list;
  size_t units = 0;
  for (const auto& path : files_that_see_torch(repository())) {
    if (is_unit(path)) {
      ++units;
      list += "  " + path + "\n";
    }
  }
  std::cout << units << " source files see libtorch, at most " << kMaxTorchUnits << " may\n";
  EXPECT_LE(units, kMaxTorchUnits) << "each takes about 20 s to compile; these see it:\n" << list;
}

TEST(Layers, FmtInAHeaderOrBesideTorchIsFound) {
  const SourceTree tree = {{"data/a.h", "#include <fmt/format.h>\n"},
                           {"data/a.cpp", "#include <fmt/format.h>\n"},
                           {"models/b.cpp", "#include <ATen/core/Tensor.h>\n#include <spdlog/spdlog.h>\n"}};
  EXPECT_THAT(misplaced_fmt(tree),
              UnorderedElementsAre("data/a.h includes fmt/format.h", "models/b.cpp includes spdlog/spdlog.h"));
}

TEST(Layers, FmtAndSpdlogStayInTorchFreeSources) {
  EXPECT_THAT(misplaced_fmt(repository()), IsEmpty());
}

TEST(Layers, AFileOf501LinesIsTooLong) {
  const SourceTree tree = {
      {"a.cpp", std::string(500, '\n')}, {"b.h", std::string(501, '\n')}, {"c.txt", std::string(900, '\n')}};
  EXPECT_THAT(long_files(tree), ElementsAre("b.h: 501"));
}

TEST(Layers, NoFileIsTooLong) {
  EXPECT_THAT(long_files(repository()), IsEmpty());
}

TEST(Layers, APathOfOneMachineIsFound) {
  const std::string home = std::string("/ho") + "me/someone/x", relative = "a/ho" + std::string("me/b");
  EXPECT_THAT(machine_paths({{"a.md", "one\nsee " + home + "\n"}, {"b.md", relative + " $HOME/x\n"}}),
              ElementsAre("a.md:2"));
}

TEST(Layers, NoFileNamesAPathOfOneMachine) {
  EXPECT_THAT(machine_paths(repository()), IsEmpty());
}

TEST(Layers, TheRepositoryIsRead) {
  EXPECT_TRUE(repository().count("tests/layers/layers_test.cpp"));
  EXPECT_THAT(repository().at("CMakeLists.txt"), HasSubstr("project(rehearse"));
}

}  // namespace
}  // namespace rehearse::layers
