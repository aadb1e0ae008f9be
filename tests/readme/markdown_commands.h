// Command lines in Markdown: those of fenced blocks and those in `code` spans.
#pragma once

#include <regex>
#include <sstream>
#include <string>
#include <vector>

namespace rehearse {

struct MarkdownCommand {
  int line = 0;  // of the file, from 1
  std::string text;
};

inline std::string without_comment(const std::string& line) {
  static const std::regex kComment(R"((^|\s+)#.*$)"), kAround(R"(^\s+|\s+$)");
  return std::regex_replace(std::regex_replace(line, kComment, ""), kAround, "");
}

// Lines of the fenced blocks whose info string is `language`, a line that ends in \ joined with the next.
inline std::vector<MarkdownCommand> fenced_lines(const std::string& markdown, const std::string& language = "") {
  std::vector<MarkdownCommand> found;
  std::istringstream lines(markdown);
  bool is_inside = false, is_wanted = false, is_continued = false;
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.starts_with("```")) {
      is_inside = !is_inside;
      is_wanted = is_inside && line.substr(3) == language;
      is_continued = false;
      continue;
    }
    if (!is_wanted) continue;
    const bool goes_on = line.ends_with("\\");
    if (goes_on) line.pop_back();
    if (is_continued)
      found.back().text += line;
    else
      found.push_back({number, line});
    is_continued = goes_on;
  }
  return found;
}

// What stands between backticks outside fenced blocks.
inline std::vector<MarkdownCommand> code_spans(const std::string& markdown) {
  static const std::regex kSpan("`([^`]+)`");
  std::vector<MarkdownCommand> found;
  std::istringstream lines(markdown);
  bool is_inside = false;
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.starts_with("```")) is_inside = !is_inside;
    if (is_inside) continue;
    for (std::sregex_iterator at(line.begin(), line.end(), kSpan), end; at != end; ++at)
      found.push_back({number, (*at)[1]});
  }
  return found;
}

}  // namespace rehearse
