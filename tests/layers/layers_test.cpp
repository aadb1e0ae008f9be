// The rules of the tree that no compiler checks. Each rule is tried on a small broken tree, then on the repository.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "tests/layers/source_tree.h"

namespace rehearse::layers {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;
namespace fs = std::filesystem;
using Findings = std::vector<std::string>;

constexpr size_t kMaxTorchUnits = 120;
constexpr size_t kMaxLines = 500;
constexpr size_t kMaxFiles = 22;  // of a folder, its page among them

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
  EXPECT_LE(units, kMaxTorchUnits)
      << "each takes about 20 s to compile. Arithmetic that needs no tensor belongs into models/kernels, words and "
         "files "
         "into a file of their own; when nothing can move, raise kMaxTorchUnits and say in the commit what a "
         "build from nothing takes. These see it:\n"
      << list;
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

// Rooms that every task shares know examples, costs and errors, not what a task makes of them.
Findings words_of_one_task(const SourceTree& tree) {
  static const std::regex kShared(R"(^(trainer/(engine|checkpoint|observe|device)/|data/sampler/).*\.(cpp|h)$)");
  static const std::regex kWord(
      R"((audio|ctc|tokeni[sz]|\btokens?\b|_tokens?\b|\bcer\b|_cer\b|\bcer_|\bk?hz\b|_k?hz\b))", std::regex::icase);
  static const std::regex kAllowed(R"(stop_token|kFirstTask = "ctc")");
  Findings found;
  for (const auto& [path, text] : tree) {
    if (!std::regex_search(path, kShared)) continue;
    std::istringstream lines(text);
    int number = 0;
    for (std::string line; std::getline(lines, line);) {
      ++number;
      line = std::regex_replace(line, kAllowed, "");
      if (std::smatch word; std::regex_search(line, word, kWord))
        found.push_back(path + ":" + std::to_string(number) + ": " + word.str());
    }
  }
  return found;
}

TEST(Layers, AWordOfOneTaskInASharedRoomIsFound) {
  const SourceTree tree = {{"trainer/engine/a.cpp", "int x;\n// the CER of it\nstd::stop_token t;\n"},
                           {"trainer/observe/b/c.h", "int num_tokens = 0; int concern, ceremony;\n"},
                           {"data/sampler/d.cpp", "double audio_s, rate_hz;\n"},
                           {"trainer/tasks/e.cpp", "// CTC\n"},
                           {"trainer/engine/f.md", "CTC\n"}};
  EXPECT_THAT(words_of_one_task(tree),
              UnorderedElementsAre("trainer/engine/a.cpp:2: CER", "trainer/observe/b/c.h:1: _tokens",
                                   "data/sampler/d.cpp:1: audio"));
}

TEST(Layers, SharedRoomsNameNoTask) {
  EXPECT_THAT(words_of_one_task(repository()), IsEmpty());
}

// A folder of plug-ins grows with what users add.
bool holds_plugins(const std::string& folder) {
  static const std::regex kPlugins(
      R"(^(models/blocks|trainer/commands|tests/golden/.*|trainer/engine/update/(optimizers|schedules))$)");
  return std::regex_match(folder, kPlugins);
}

Findings crowded_folders(const SourceTree& tree) {
  std::map<std::string, size_t> count;
  for (const auto& [path, text] : tree) {
    const size_t end = path.rfind('/');
    if (end != std::string::npos) ++count[path.substr(0, end)];
  }
  Findings found;
  for (const auto& [folder, files] : count)
    if (files > kMaxFiles && !holds_plugins(folder)) found.push_back(folder + ": " + std::to_string(files));
  return found;
}

TEST(Layers, AFolderOfTooManyFilesIsFound) {
  SourceTree tree;
  for (int i = 0; i < 23; ++i)
    for (const char* folder : {"a/", "models/blocks/", "a/b/"})
      if (i < 22 || std::string(folder) != "a/b/") tree[folder + std::to_string(i)] = "";
  EXPECT_THAT(crowded_folders(tree), ElementsAre("a: 23"));
}

TEST(Layers, NoFolderIsCrowded) {
  EXPECT_THAT(crowded_folders(repository()), IsEmpty());
}

// Whoever opens a room finds who lives there.
Findings rooms_without_readme(const SourceTree& tree) {
  static const std::regex kRoom(R"(^((trainer|data|models)(/[a-z0-9_]+)*)/[^/]+\.(cpp|h)$)");
  std::set<std::string> rooms;
  for (const auto& [path, text] : tree)
    if (std::smatch room; std::regex_match(path, room, kRoom)) rooms.insert(room[1]);
  Findings found;
  for (const std::string& room : rooms) {
    const auto page = tree.find(room + "/README.md");
    if (page == tree.end() || !starts_with(page->second, "# " + room + "\n")) found.push_back(room);
  }
  return found;
}

TEST(Layers, ARoomWithoutAPageIsFound) {
  const SourceTree tree = {{"data/a/b.cpp", ""}, {"data/a/README.md", "# data/a\n"},  {"data/c/d.h", ""},
                           {"models/e.h", ""},   {"models/README.md", "# another\n"}, {"tests/f.cpp", ""}};
  EXPECT_THAT(rooms_without_readme(tree), ElementsAre("data/c", "models"));
}

TEST(Layers, EveryRoomHasAPageThatBeginsWithItsName) {
  EXPECT_THAT(rooms_without_readme(repository()), IsEmpty());
}

// Links between pages, relative to the page.
Findings broken_links(const SourceTree& tree) {
  static const std::regex kLink(R"(\]\(([^)#\s]+))");
  std::set<std::string> known;
  for (const auto& [path, text] : tree)
    for (fs::path at = path; !at.empty(); at = at.parent_path()) known.insert(at.string());
  Findings found;
  for (const auto& [path, text] : tree) {
    if (!ends_with(path, ".md")) continue;
    for (std::sregex_iterator link(text.begin(), text.end(), kLink), end; link != end; ++link) {
      const std::string to = (*link)[1];
      if (to.find(':') != std::string::npos) continue;
      std::string target = (fs::path(path).parent_path() / to).lexically_normal().string();
      if (ends_with(target, "/")) target.pop_back();
      if (!target.empty() && target != "." && !known.contains(target)) found.push_back(path + ": " + to);
    }
  }
  return found;
}

TEST(Layers, ALinkToNowhereIsFound) {
  const SourceTree tree = {{"a/b.md", "[x](../c/d.md#e) [y](../c/) [z](https://f/g) [w](h.md) [v](../../i)\n"},
                           {"c/d.md", "[x](../a/b.md)\n"}};
  EXPECT_THAT(broken_links(tree), ElementsAre("a/b.md: h.md", "a/b.md: ../../i"));
}

TEST(Layers, LinksOfPagesLeadSomewhere) {
  EXPECT_THAT(broken_links(repository()), IsEmpty());
}

std::string without_comments(const std::string& source) {
  return std::regex_replace(source, std::regex(R"(//[^\n]*)"), "");
}

// Plug-ins stand alone: no header of their own, no line in a CMakeLists.txt.
Findings plugins_that_are_not_one_file(const SourceTree& tree) {
  static const std::regex kPlugin(R"(\nREHEARSE_(REGISTER|COMMAND)\()");
  static const std::regex kParts(R"(^trainer/tasks/|curriculum_sampler\.cpp$)");  // that consist of several
  Findings found;
  for (const auto& [path, text] : tree) {
    if (!is_unit(path) || starts_with(path, "tests/") || std::regex_search(path, kParts)) continue;
    if (!std::regex_search(text, kPlugin)) continue;
    const std::string stem = path.substr(0, path.size() - 4), name = fs::path(stem).filename().string();
    if (tree.contains(stem + ".h")) found.push_back(path + ": has a header");
    for (const auto& [other, content] : tree)
      if (ends_with(other, "CMakeLists.txt") && content.find(name + ".cpp") != std::string::npos)
        found.push_back(path + ": named in " + other);
  }
  return found;
}

TEST(Layers, APluginThatSomethingElseNamesIsFound) {
  const SourceTree tree = {{"models/blocks/a.cpp", "x\nREHEARSE_REGISTER(Block, \"a\", A);\n"},
                           {"models/blocks/a.h", ""},
                           {"models/blocks/b.cpp", "x\nREHEARSE_COMMAND(\"b\", B);\n"},
                           {"models/CMakeLists.txt", "SOURCES blocks/b.cpp"},
                           {"models/c.cpp", "int c;\n"},
                           {"models/c.h", ""}};
  EXPECT_THAT(plugins_that_are_not_one_file(tree),
              ElementsAre("models/blocks/a.cpp: has a header", "models/blocks/b.cpp: named in models/CMakeLists.txt"));
}

TEST(Layers, APluginIsOneFile) {
  EXPECT_THAT(plugins_that_are_not_one_file(repository()), IsEmpty());
}

// Rows "| what | files | [name](path), … |" of a page: the links are as many as it says, and no other source has the
// class that the first of them registers.
Findings false_counts(const SourceTree& tree, const std::string& page) {
  static const std::regex kRow(R"(\| ([a-z -]+) \| (\d+) \| ([^\n]*) \|\n)"), kLink(R"(\]\(([^)#\s]+)\))");
  static const std::regex kClass(R"(\nREHEARSE_(?:REGISTER\(\w+, "[^"]+"|COMMAND\("[^"]+"), (\w+)\))");
  Findings found;
  for (std::sregex_iterator row(page.begin(), page.end(), kRow), end; row != end; ++row) {
    const std::string what = (*row)[1], all = (*row)[3], list = all.substr(0, all.find(';'));
    std::set<std::string> files;
    std::string first;
    for (std::sregex_iterator link(list.begin(), list.end(), kLink); link != end; ++link) {
      files.insert((*link)[1]);
      if (first.empty()) first = (*link)[1];
    }
    const size_t unnamed = list.find(", its test") == std::string::npos ? 0 : 1;
    if (files.size() + unnamed != std::stoul((*row)[2])) found.push_back(what + ": counts " + (*row)[2].str());
    const auto source = tree.find(first);
    std::smatch name;
    if (source == tree.end() || !std::regex_search(source->second, name, kClass)) continue;
    const std::regex word("\\b" + name[1].str() + "\\b");
    for (const auto& [path, text] : tree)
      if ((is_unit(path) || is_header(path)) && !files.contains(path) &&
          std::regex_search(without_comments(text), word))
        found.push_back(what + ": " + name[1].str() + " is in " + path);
  }
  return found;
}

TEST(Layers, AFalseCountOfFilesIsFound) {
  const SourceTree tree = {{"a.cpp", "x\nREHEARSE_REGISTER(Block, \"a\", Alpha);\n"},
                           {"b.cpp", "int x = 0;  // Alpha\nAlpha alpha;\n"},
                           {"c.cpp", "// Alpha\n"}};
  EXPECT_THAT(false_counts(tree, "| one | 2 | [a](a.cpp) |\n| two | 2 | [a](a.cpp), [b](b.cpp); [c](c.cpp) |\n"),
              ElementsAre("one: counts 2", "one: Alpha is in b.cpp"));
}

TEST(Layers, WhatIsAddedTouchesAsManyFilesAsContributingSays) {
  const std::string& page = repository().at("CONTRIBUTING.md");
  EXPECT_THAT(false_counts(repository(), page), IsEmpty());
  for (const char* what :
       {"block", "kernel", "importer", "augmentation", "tokenizer", "sampler", "optimizer", "task", "verb"})
    EXPECT_THAT(page, HasSubstr(std::string("\n| ") + what + " | "));
}

TEST(Layers, TheRepositoryIsRead) {
  EXPECT_TRUE(repository().count("tests/layers/layers_test.cpp"));
  EXPECT_THAT(repository().at("CMakeLists.txt"), HasSubstr("project(rehearse"));
}

}  // namespace
}  // namespace rehearse::layers
