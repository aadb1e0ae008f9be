#include "trainer/base/files.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

class Descriptor {
 public:
  Descriptor(const fs::path& path, int flags) : path_(path), number_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {
    if (number_ < 0) throw CommError(path.string(), ": expected to open it; found ", std::strerror(errno));
  }
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  void write_all(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(number_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0)
        throw CommError(path_.string(), ": expected to write ", bytes.size(), " bytes; found ", std::strerror(errno));
      bytes = bytes.subspan(static_cast<size_t>(written));
    }
  }
  void sync() {
    if (::fsync(number_) != 0) throw CommError(path_.string(), ": fsync failed: ", std::strerror(errno));
  }

 private:
  fs::path path_;
  int number_;
};

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
    REHEARSE_CHECK(context_ && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1, "SHA-256 is built in");
  }
  void update(const void* data, size_t size) {
    REHEARSE_CHECK(EVP_DigestUpdate(context_.get(), data, size) == 1, "hashing memory cannot fail");
  }
  std::string hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
    unsigned int size = 0;
    REHEARSE_CHECK(EVP_DigestFinal_ex(context_.get(), digest.data(), &size) == 1, "hashing memory cannot fail");
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string text;
    for (unsigned int i = 0; i < size; ++i) {
      text += kDigits[digest[i] >> 4];
      text += kDigits[digest[i] & 15];
    }
    return text;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

std::ifstream open_for_reading(const fs::path& path) {
  std::error_code failure;
  if (fs::is_directory(path, failure)) throw DataError(path.string(), ": expected a file; found a folder");
  std::ifstream in(path, std::ios::binary);
  if (!in) throw DataError(path.string(), ": expected a readable file; found ", std::strerror(errno));
  return in;
}

}  // namespace

void FileLayer::write(const fs::path& path, std::span<const std::byte> bytes) {
  Descriptor file(path, O_WRONLY | O_CREAT | O_TRUNC);
  file.write_all(bytes);
  file.sync();
}

void FileLayer::sync_folder(const fs::path& folder) {
  Descriptor(folder, O_RDONLY | O_DIRECTORY).sync();
}

void FileLayer::rename(const fs::path& from, const fs::path& to) {
  std::error_code failure;
  fs::rename(from, to, failure);
  if (failure) throw CommError(to.string(), ": could not rename ", from.string(), " to it: ", failure.message());
}

bool FileLayer::exchange(const fs::path& one, const fs::path& other) {
  return renameat2(AT_FDCWD, one.c_str(), AT_FDCWD, other.c_str(), RENAME_EXCHANGE) == 0;
}

void FileLayer::symlink(const fs::path& target, const fs::path& link) {
  std::error_code failure;
  fs::create_directory_symlink(target, link, failure);
  if (failure) throw CommError(link.string(), ": could not make a link to ", target.string(), ": ", failure.message());
}

void FileLayer::remove_tree(const fs::path& path) {
  std::error_code failure;
  fs::remove_all(path, failure);
  if (failure) throw CommError(path.string(), ": could not remove it: ", failure.message());
}

std::string read_text(const fs::path& path) {
  std::ifstream in = open_for_reading(path);
  std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  if (in.bad()) throw DataError(path.string(), ": expected to read it to the end; found a read error");
  return text;
}

std::vector<std::byte> read_bytes(const fs::path& path) {
  std::ifstream in = open_for_reading(path);
  std::error_code failure;
  const uintmax_t size = fs::file_size(path, failure);
  if (failure) throw DataError(path.string(), ": expected a file; found ", failure.message());
  std::vector<std::byte> bytes(size);
  in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (in.gcount() != static_cast<std::streamsize>(bytes.size()))
    throw DataError(path.string(), ": expected ", bytes.size(), " bytes; found ", in.gcount());
  return bytes;
}

void write_text(FileLayer& files, const fs::path& path, const std::string& text) {
  files.write(path, std::as_bytes(std::span(text)));
}

void replace_text(FileLayer& files, const fs::path& path, const std::string& text) {
  const fs::path temporary = path.string() + ".tmp";
  write_text(files, temporary, text);
  files.rename(temporary, path);
  files.sync_folder(path.has_parent_path() ? path.parent_path() : fs::path("."));
}

void expect_writable(const std::string& option, const fs::path& path) {
  if (path.empty()) return;
  std::error_code failure;
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  if (!fs::is_directory(folder, failure))
    throw ConfigError(option, ": expected a file in a folder that is there; found no folder ", folder.string(),
                      "; make it first");
  if (!path.has_filename() || fs::is_directory(path, failure))
    throw ConfigError(option, ": expected the name of a file; found the folder ", path.string());
  if (::access(folder.c_str(), W_OK | X_OK) != 0)
    throw ConfigError(option, ": expected a file in a folder where you may write; found ", folder.string(), ": ",
                      std::strerror(errno));
}

void make_folder(const fs::path& path) {
  std::error_code failure;
  fs::create_directories(path, failure);
  std::error_code unknown;
  if (failure == std::errc::no_space_on_device || failure == std::errc::io_error)
    throw CommError(path.string(), ": expected to make a folder; found ", failure.message());
  if (!fs::is_directory(path, unknown))
    throw ConfigError(path.string(), ": expected a folder, there or to be made; found ",
                      failure ? failure.message() : "a file", "; choose another");
}

std::string sha256_of(std::span<const std::byte> bytes) {
  Sha256 hash;
  hash.update(bytes.data(), bytes.size());
  return hash.hex();
}

std::string sha256_of_file(const fs::path& path) {
  std::ifstream in = open_for_reading(path);
  Sha256 hash;
  std::vector<char> block(1 << 20);
  while (in.read(block.data(), static_cast<std::streamsize>(block.size())) || in.gcount() > 0)
    hash.update(block.data(), static_cast<size_t>(in.gcount()));
  if (in.bad()) throw DataError(path.string(), ": expected to read it to the end; found a read error");
  return hash.hex();
}

uint64_t free_bytes_at(const fs::path& folder) {
  std::error_code failure;
  const fs::space_info space = fs::space(folder, failure);
  if (failure) throw CommError(folder.string(), ": could not ask for free space: ", failure.message());
  return space.available;
}

FileLock::FileLock(const fs::path& path) : descriptor_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
  if (descriptor_ < 0)
    throw ConfigError(path.string(), ": expected a writable lock file; found ", std::strerror(errno));
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    ::close(descriptor_);
    if (error != EWOULDBLOCK)
      throw ConfigError(path.string(), ": expected a file system that can lock a file; found ", std::strerror(error),
                        "; choose another run.folder");
    throw ConfigError(path.parent_path().string(), ": expected a folder that no run uses; found it locked by process ",
                      read_text(path), "; stop that run or choose another run.folder");
  }
  const std::string holder = std::to_string(::getpid());
  if (::ftruncate(descriptor_, 0) != 0 || ::write(descriptor_, holder.data(), holder.size()) < 0) {
    const int failure = errno;
    ::close(descriptor_);
    throw CommError(path.string(), ": expected to write a lock file; found ", std::strerror(failure));
  }
}

FileLock::~FileLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace rehearse
