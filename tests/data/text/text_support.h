// Small texts and folders for the tests of data/.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

namespace rehearse {

// A fresh empty folder, removed with its content.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(const std::string& purpose = "data") {
    std::string name = (std::filesystem::temp_directory_path() / ("rehearse_" + purpose + "_XXXXXX")).string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed: " + name);
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

// Normalised English, enough to train a vocabulary of 60.
inline std::vector<std::string> sample_lines() {
  return {
      "printing in the only sense with which we are at present concerned",
      "differs from most if not from all the arts and crafts represented in the exhibition",
      "the quick brown fox jumps over the lazy dog and doesn't look back",
      "in being comparatively modern the sense of the work is not lost",
      "for although the chinese took impressions from wood blocks engraved in relief",
      "pack my box with five dozen jugs of liquid",
  };
}

}  // namespace rehearse
