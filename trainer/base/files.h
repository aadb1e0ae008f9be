// Durable files: nothing counts as written before fsync, nothing is visible half-written.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace rehearse {

namespace fs = std::filesystem;

// The file operations a writer needs, as an object so that tests can fail any of them. All throw CommError on failure.
class FileLayer {
 public:
  virtual ~FileLayer() = default;
  virtual void write(const fs::path& path, std::span<const std::byte> bytes);  // create or truncate, write all, fsync
  virtual void sync_folder(const fs::path& folder);
  virtual void rename(const fs::path& from, const fs::path& to);
  // Both names stand for something at all times; false where the file system cannot do that (NFS).
  virtual bool exchange(const fs::path& one, const fs::path& other);
  virtual void symlink(const fs::path& target, const fs::path& link);
  virtual void remove_tree(const fs::path& path);  // a file or a folder with all in it; fine where it is not there
};

std::string read_text(const fs::path& path);              // DataError when absent or unreadable
std::vector<std::byte> read_bytes(const fs::path& path);  // same
void write_text(FileLayer& files, const fs::path& path, const std::string& text);
// Writes path.tmp, fsyncs, renames over path, fsyncs the folder.
void replace_text(FileLayer& files, const fs::path& path, const std::string& text);
// For the start of long work: ConfigError naming `option` when no file could be written at path. "" is always fine.
void expect_writable(const std::string& option, const fs::path& path);
// With all folders above it; ConfigError when it is neither there nor can be made.
void make_folder(const fs::path& path);

// Lower-case hexadecimal SHA-256.
std::string sha256_of(std::span<const std::byte> bytes);
std::string sha256_of_file(const fs::path& path);

uint64_t free_bytes_at(const fs::path& folder);

// Holds an exclusive lock on `path` (created when absent) until destroyed; ConfigError naming the holder when it is
// taken.
class FileLock {
 public:
  explicit FileLock(const fs::path& path);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int descriptor_ = -1;
};

}  // namespace rehearse
