#include "trainer/commands/manifest_option.h"

#include <algorithm>
#include <filesystem>

namespace rehearse {

std::vector<std::string> split_manifests(const std::string& value) {
  std::vector<std::string> paths;
  size_t begin = 0;
  while (begin <= value.size()) {
    // The longest part that names something; else up to the next comma.
    size_t end = value.size();
    std::error_code absent;
    while (end != std::string::npos && end > begin &&
           !std::filesystem::exists(value.substr(begin, end - begin), absent))
      end = value.rfind(',', end - 1);
    if (end == std::string::npos || end <= begin) end = std::min(value.find(',', begin), value.size());
    if (end > begin) paths.push_back(value.substr(begin, end - begin));
    begin = end + 1;
  }
  return paths;
}

CLI::Option* add_manifest_option(CLI::App& app, std::vector<std::string>& manifests, const std::string& description) {
  const auto take = [&manifests](const std::string& value) {
    for (std::string& path : split_manifests(value)) manifests.push_back(std::move(path));
  };
  return app
      .add_option_function<std::vector<std::string>>(
          "--manifest",
          [take](const std::vector<std::string>& values) {
            for (const std::string& value : values) take(value);
          },
          description)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

}  // namespace rehearse
