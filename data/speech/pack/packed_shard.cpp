#include "data/speech/pack/packed_shard.h"

#include <fcntl.h>
#include <hdf5.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <mutex>

#include "data/hdf5_lock.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

constexpr uint64_t kMagic = 0x5245484541525345;  // "REHEARSE"
constexpr uint64_t kVersion = 1;
constexpr size_t kCopyBytes = 4u << 20;

// Owner of one HDF5 identifier.
class Hid {
 public:
  Hid(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  ~Hid() {
    if (id_ >= 0) close_(id_);
  }
  Hid(const Hid&) = delete;
  Hid& operator=(const Hid&) = delete;
  operator hid_t() const { return id_; }  // NOLINT(google-explicit-constructor): it stands for its number

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

// Holds the library's lock and keeps its error stack from the terminal.
class Session {
 public:
  Session() : lock_(hdf5_lock()) {
    H5Eget_auto2(H5E_DEFAULT, &print_, &print_data_);
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    errno = 0;
  }
  ~Session() { H5Eset_auto2(H5E_DEFAULT, print_, print_data_); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

 private:
  std::lock_guard<std::mutex> lock_;
  H5E_auto2_t print_ = nullptr;
  void* print_data_ = nullptr;
};

void expect_written(bool is_good, const fs::path& path, const char* what) {
  if (is_good) return;
  const int failure = errno;  // of the system call in which HDF5 failed
  throw CommError(path.string(), ": expected to write ", what, "; found ",
                  failure == 0 ? "a disk that fails or is full" : std::strerror(failure));
}

uint64_t length_of(const fs::path& path) {
  std::error_code failure;
  const uint64_t bytes = fs::file_size(path, failure);
  if (failure) throw DataError(path.string(), ": expected a packed shard; found ", failure.message());
  return bytes;
}

void expect_read(bool is_good, const fs::path& path, const std::string& what) {
  if (!is_good) throw DataError(path.string(), ": expected a packed shard with ", what, "; found none; pack it again");
}

hid_t file_type(uint64_t) {
  return H5T_STD_U64LE;
}
hid_t file_type(uint8_t) {
  return H5T_STD_U8LE;
}
hid_t memory_type(uint64_t) {
  return H5T_NATIVE_UINT64;
}
hid_t memory_type(uint8_t) {
  return H5T_NATIVE_UINT8;
}

void write_attribute(hid_t file, const fs::path& path, const char* name, uint64_t value) {
  const Hid space(H5Screate(H5S_SCALAR), H5Sclose);
  const Hid attribute(H5Acreate2(file, name, H5T_STD_U64LE, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  expect_written(attribute >= 0 && H5Awrite(attribute, H5T_NATIVE_UINT64, &value) >= 0, path, name);
}

template <class T>
void write_rows(hid_t file, const fs::path& path, const char* name, const T* rows, hsize_t count) {
  const Hid space(H5Screate_simple(1, &count, nullptr), H5Sclose);
  const Hid timeless(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_obj_track_times(timeless, false);  // equal corpora are equal bytes at any hour
  const Hid dataset(H5Dcreate2(file, name, file_type(T{}), space, H5P_DEFAULT, timeless, H5P_DEFAULT), H5Dclose);
  expect_written(dataset >= 0, path, name);
  if (count > 0)
    expect_written(H5Dwrite(dataset, memory_type(T{}), H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) >= 0, path, name);
}

// Copies the spooled bytes into one contiguous dataset, a few MiB at a time.
void write_audio(hid_t file, const fs::path& path, const fs::path& audio_file) {
  std::ifstream spool(audio_file, std::ios::binary);
  const hsize_t total = length_of(audio_file);
  const Hid space(H5Screate_simple(1, &total, nullptr), H5Sclose);
  const Hid layout(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_obj_track_times(layout, false);
  H5Pset_layout(layout, H5D_CONTIGUOUS);
  H5Pset_alloc_time(layout, H5D_ALLOC_TIME_EARLY);
  H5Pset_fill_time(layout, H5D_FILL_TIME_NEVER);
  const Hid dataset(H5Dcreate2(file, "audio", H5T_STD_U8LE, space, H5P_DEFAULT, layout, H5P_DEFAULT), H5Dclose);
  expect_written(dataset >= 0, path, "audio");
  std::vector<char> block(kCopyBytes);
  for (hsize_t at = 0; at < total;) {
    hsize_t count = std::min<hsize_t>(block.size(), total - at);
    spool.read(block.data(), static_cast<std::streamsize>(count));
    if (!spool) throw CommError(audio_file.string(), ": expected ", total, " bytes; found fewer");
    H5Sselect_hyperslab(space, H5S_SELECT_SET, &at, nullptr, &count, nullptr);
    const Hid part(H5Screate_simple(1, &count, nullptr), H5Sclose);
    expect_written(H5Dwrite(dataset, H5T_NATIVE_UINT8, part, space, H5P_DEFAULT, block.data()) >= 0, path, "audio");
    at += count;
  }
}

uint64_t read_attribute(hid_t file, const fs::path& path, const char* name) {
  uint64_t value = 0;
  const Hid attribute(H5Aopen(file, name, H5P_DEFAULT), H5Aclose);
  expect_read(attribute >= 0 && H5Aread(attribute, H5T_NATIVE_UINT64, &value) >= 0, path, concat("attribute ", name));
  return value;
}

// -1 when the dataset does not have exactly one dimension.
int64_t rows_of(hid_t dataset) {
  const Hid space(H5Dget_space(dataset), H5Sclose);
  if (space < 0 || H5Sget_simple_extent_ndims(space) != 1) return -1;
  return H5Sget_simple_extent_npoints(space);
}

template <class T>
std::vector<T> read_rows(hid_t file, const fs::path& path, const char* name) {
  const Hid dataset(H5Dopen2(file, name, H5P_DEFAULT), H5Dclose);
  const int64_t count = dataset < 0 ? -1 : rows_of(dataset);
  expect_read(count >= 0 && count <= static_cast<int64_t>(length_of(path)), path, concat("dataset ", name));
  std::vector<T> rows(static_cast<size_t>(count));
  if (count > 0)
    expect_read(H5Dread(dataset, memory_type(T{}), H5S_ALL, H5S_ALL, H5P_DEFAULT, rows.data()) >= 0, path,
                concat("dataset ", name));
  return rows;
}

Hid open_shard(const fs::path& path) {
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  expect_read(file >= 0, path, "an HDF5 header");
  return Hid(file, H5Fclose);
}

void expect_format(hid_t file, const fs::path& path) {
  expect_read(read_attribute(file, path, "magic") == kMagic, path, "the magic number");
  const uint64_t version = read_attribute(file, path, "version");
  if (version != kVersion)
    throw DataError(path.string(), ": expected packed format version ", kVersion, "; found ", version,
                    "; pack the corpus again with this program");
}

void expect_rows_inside(const ShardLayout& layout, const fs::path& path) {
  const ShardIndex& index = layout.index;
  const size_t count = index.size();
  expect_read(index.bytes.size() == count && index.samples.size() == count && index.encoding.size() == count, path,
              "index datasets of one length");
  for (size_t n = 0; n < count; ++n) {
    const bool is_inside =
        index.offset[n] <= layout.audio_bytes && index.bytes[n] <= layout.audio_bytes - index.offset[n];
    const bool is_raw = index.encoding[n] == static_cast<uint8_t>(PackEncoding::kInt16);
    const bool is_known = is_raw || index.encoding[n] == static_cast<uint8_t>(PackEncoding::kFlac);
    const bool is_whole = index.samples[n] > 0 && (!is_raw || index.bytes[n] == 2 * index.samples[n]);
    expect_read(is_inside && is_known && is_whole, path, concat("a valid index row ", n));
  }
}

}  // namespace

void sync_file(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool is_synced = descriptor >= 0 && ::fsync(descriptor) == 0;
  const int failure = errno;
  if (descriptor >= 0) ::close(descriptor);
  if (!is_synced) throw CommError(path.string(), ": expected fsync to succeed; found ", std::strerror(failure));
}

void write_shard(const fs::path& path, const fs::path& audio_file, const ShardIndex& index,
                 const std::string& manifest_lines, int sample_rate_hz) {
  {
    const Session session;
    const Hid file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose);
    expect_written(file >= 0, path, "a new file");
    write_attribute(file, path, "magic", kMagic);
    write_attribute(file, path, "version", kVersion);
    write_attribute(file, path, "sample_rate_hz", static_cast<uint64_t>(sample_rate_hz));
    write_audio(file, path, audio_file);
    write_rows(file, path, "offset", index.offset.data(), index.size());
    write_rows(file, path, "bytes", index.bytes.data(), index.size());
    write_rows(file, path, "samples", index.samples.data(), index.size());
    write_rows(file, path, "encoding", index.encoding.data(), index.size());
    write_rows(file, path, "manifest", reinterpret_cast<const uint8_t*>(manifest_lines.data()), manifest_lines.size());
    expect_written(H5Fflush(file, H5F_SCOPE_GLOBAL) >= 0, path, "everything");
  }
  sync_file(path);
}

ShardLayout read_shard_layout(const fs::path& path) {
  const Session session;
  const Hid file = open_shard(path);
  expect_format(file, path);
  ShardLayout layout;
  layout.sample_rate_hz = static_cast<int>(read_attribute(file, path, "sample_rate_hz"));
  expect_read(layout.sample_rate_hz > 0, path, "a sample rate");
  layout.index = {read_rows<uint64_t>(file, path, "offset"), read_rows<uint64_t>(file, path, "bytes"),
                  read_rows<uint64_t>(file, path, "samples"), read_rows<uint8_t>(file, path, "encoding")};
  const Hid audio(H5Dopen2(file, "audio", H5P_DEFAULT), H5Dclose);
  const int64_t bytes = audio < 0 ? -1 : rows_of(audio);
  const haddr_t address = audio < 0 ? HADDR_UNDEF : H5Dget_offset(audio);
  expect_read(bytes > 0 && address != HADDR_UNDEF, path, "a contiguous dataset audio");
  expect_read(address + static_cast<uint64_t>(bytes) <= length_of(path), path, "all of the dataset audio");
  layout.audio_file_offset = address;
  layout.audio_bytes = static_cast<uint64_t>(bytes);
  expect_rows_inside(layout, path);
  return layout;
}

std::string read_shard_manifest(const fs::path& path) {
  const Session session;
  const Hid file = open_shard(path);
  expect_format(file, path);
  const std::vector<uint8_t> bytes = read_rows<uint8_t>(file, path, "manifest");
  return std::string(bytes.begin(), bytes.end());
}

}  // namespace rehearse
