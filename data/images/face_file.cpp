#include "data/images/face_file.h"

#include <hdf5.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <sstream>

#include "data/hdf5_lock.h"
#include "trainer/base/error.h"
#include "trainer/base/text/printable.h"

namespace rehearse::images {
namespace {

constexpr char kFormat[] = "rehearse-faces";
constexpr uint64_t kVersion = 1;
constexpr size_t kHeaderBytes = 512;  // a user block: HDF5 finds its own start behind it
constexpr size_t kMostLineBytes = 4096;

// Closes an HDF5 identifier by the function of its kind.
class Handle {
 public:
  Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  operator hid_t() const { return id_; }  // NOLINT(google-explicit-constructor): it stands for its number

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

hid_t stored_type(uint8_t) {
  return H5T_STD_U8LE;
}
hid_t stored_type(uint32_t) {
  return H5T_STD_U32LE;
}
hid_t stored_type(uint64_t) {
  return H5T_STD_U64LE;
}
hid_t stored_type(float) {
  return H5T_IEEE_F32LE;
}

using Shape = std::vector<hsize_t>;

std::string shape_text(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += concat(i > 0 ? ", " : "", shape[i]);
  return text + "]";
}

hsize_t values_in(const Shape& shape) {
  hsize_t count = 1;
  for (const hsize_t side : shape) count *= side;
  return count;
}

// Writing goes to memory only: what fails is a bug of ours or memory.
void expect_done(bool is_done, const char* what) {
  REHEARSE_CHECK(is_done, "HDF5 writes ", what, " to memory");
}

void write_number(hid_t file, const char* name, uint64_t value) {
  const Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  const Handle attribute(H5Acreate2(file, name, H5T_STD_U64LE, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  expect_done(attribute >= 0 && H5Awrite(attribute, H5T_NATIVE_UINT64, &value) >= 0, name);
}

template <class T>
void write_values(hid_t file, const char* name, const Shape& shape, const T* values) {
  const Handle space(H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr), H5Sclose);
  const Handle timeless(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_obj_track_times(timeless, false);  // equal records are equal bytes at any hour
  const hid_t type = stored_type(T{});
  const Handle dataset(H5Dcreate2(file, name, type, space, H5P_DEFAULT, timeless, H5P_DEFAULT), H5Dclose);
  expect_done(dataset >= 0, name);
  // What is stored is little-endian, as is every machine this is built for.
  if (values_in(shape) > 0) expect_done(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0, name);
}

void write_lines(hid_t file, const char* name, const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + '\n';
  write_values(file, name, {text.size()}, reinterpret_cast<const uint8_t*>(text.data()));
}

// One open file and what it is called in messages.
class Reader {
 public:
  Reader(hid_t file, const std::string& where, size_t file_bytes)
      : file_(file), where_(where), file_bytes_(file_bytes) {}

  [[noreturn]] void fail(const std::string& expected, const std::string& found) const {
    throw DataError(where_, ": expected ", expected, "; found ", found, "; import or draw the pictures again");
  }

  uint64_t number(const char* name) const {
    uint64_t value = 0;
    const Handle attribute(H5Aopen(file_, name, H5P_DEFAULT), H5Aclose);
    const bool is_there = attribute >= 0 && points_in(Handle(H5Aget_space(attribute), H5Sclose)) == 1;
    if (!is_there || H5Aread(attribute, H5T_NATIVE_UINT64, &value) < 0)
      fail(concat("a number as attribute ", name), "none");
    return value;
  }

  template <class T>
  std::vector<T> values(const char* name, const Shape& expected) const {
    const Handle dataset(H5Dopen2(file_, name, H5P_DEFAULT), H5Dclose);
    if (dataset < 0) fail(concat("dataset ", name), "none");
    const Shape shape = shape_of(dataset, name);
    if (shape != expected) fail(concat("dataset ", name, " of shape ", shape_text(expected)), shape_text(shape));
    return read<T>(dataset, name, shape);
  }

  // The shape of a dataset of `dimensions`.
  Shape shape(const char* name, size_t dimensions) const {
    const Handle dataset(H5Dopen2(file_, name, H5P_DEFAULT), H5Dclose);
    if (dataset < 0) fail(concat("dataset ", name), "none");
    const Shape shape = shape_of(dataset, name);
    if (shape.size() != dimensions)
      fail(concat("dataset ", name, " of ", dimensions, " dimensions"), shape_text(shape));
    return shape;
  }

  std::vector<std::string> lines(const char* name) const {
    const std::vector<uint8_t> bytes = values<uint8_t>(name, shape(name, 1));
    if (!bytes.empty() && bytes.back() != '\n') fail(concat("lines in dataset ", name), "a last line without an end");
    std::vector<std::string> lines;
    for (auto start = bytes.begin(); start != bytes.end();) {
      const auto end = std::find(start, bytes.end(), '\n');
      if (static_cast<size_t>(end - start) > kMostLineBytes) fail(concat("lines in dataset ", name), "one too long");
      lines.emplace_back(start, end);
      start = end + 1;
    }
    return lines;
  }

 private:
  static int64_t points_in(const Handle& space) { return space < 0 ? -1 : H5Sget_simple_extent_npoints(space); }

  Shape shape_of(hid_t dataset, const char* name) const {
    const Handle space(H5Dget_space(dataset), H5Sclose);
    const int dimensions = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    if (dimensions < 1 || dimensions > 4) fail(concat("dataset ", name, " of 1 to 4 dimensions"), "another");
    Shape shape(static_cast<size_t>(dimensions));
    H5Sget_simple_extent_dims(space, shape.data(), nullptr);
    for (const hsize_t side : shape)
      if (side > file_bytes_) fail(concat("all of dataset ", name), concat("shape ", shape_text(shape)));
    return shape;
  }

  template <class T>
  std::vector<T> read(hid_t dataset, const char* name, const Shape& shape) const {
    const Handle type(H5Dget_type(dataset), H5Tclose);
    if (type < 0 || H5Tequal(type, stored_type(T{})) <= 0)
      fail(concat("dataset ", name, " of the type that data/images/README.md lists"), "another type");
    hsize_t count = 1;  // no larger than the file, so that it cannot ask for more memory
    for (const hsize_t side : shape) count = side == 0 ? 0 : std::min<hsize_t>(count * side, file_bytes_ + 1);
    if (count > file_bytes_ || H5Dget_storage_size(dataset) != count * sizeof(T))
      fail(concat("all of dataset ", name), "a part");
    std::vector<T> values(count);
    if (count > 0 && H5Dread(dataset, stored_type(T{}), H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) < 0)
      fail(concat("readable dataset ", name), "an HDF5 error");
    return values;
  }

  hid_t file_;
  const std::string& where_;
  size_t file_bytes_;
};

std::string header_for(std::span<const std::byte> content) {
  std::string header = concat(kFormat, " ", kVersion, " ", sha256_of(content), "\n");
  header.resize(kHeaderBytes, '\0');
  return header;
}

// HDF5 sees no byte that is not as it was written: on damaged files the library itself can crash.
std::span<const std::byte> checked_content(const std::vector<std::byte>& bytes, const std::string& where) {
  const std::string start(reinterpret_cast<const char*>(bytes.data()), std::min(bytes.size(), kHeaderBytes));
  std::istringstream words(start);
  std::string format, version;
  words >> format >> version;
  if (format != kFormat) throw DataError(where, ": expected a file of face records (*.faces.h5); found another file");
  if (version != concat(kVersion))
    throw DataError(where, ": expected face records of version ", kVersion, "; found version ", quoted(version, 20),
                    "; import or draw the pictures again with this program");
  const std::span content = std::span(bytes).subspan(std::min(bytes.size(), kHeaderBytes));
  if (start != header_for(content))
    throw DataError(where,
                    ": expected bytes that match the file's checksum; found others (a damaged or unfinished "
                    "copy); copy it again, or import or draw the pictures again");
  return content;
}

FaceLayout read_layout(const Reader& reader) {
  const uint64_t width = reader.number("width"), height = reader.number("height");
  if (width > 1u << 20 || height > 1u << 20) reader.fail("width and height of a picture", concat(width, " x ", height));
  FaceLayout layout{static_cast<int>(width), static_cast<int>(height), reader.lines("point_names"), {}};
  const hsize_t num_pairs = reader.shape("flip_pairs", 2)[0];
  const std::vector<uint32_t> pairs = reader.values<uint32_t>("flip_pairs", {num_pairs, 2});
  for (size_t i = 0; i < pairs.size(); i += 2) layout.flip_pairs.push_back({pairs[i], pairs[i + 1]});
  return layout;
}

}  // namespace

std::vector<std::byte> to_face_file(const FaceRecords& records) {
  expect_whole(records, "face records to write");
  const std::lock_guard lock(hdf5_lock());
  const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_fapl_core(access, 16u << 20, false);
  const Handle file(H5Fcreate("faces.h5", H5F_ACC_TRUNC, H5P_DEFAULT, access), H5Fclose);
  expect_done(file >= 0, "a file");
  const FaceLayout& layout = records.layout;
  const hsize_t count = records.size(), num_points = layout.num_points();
  const auto width = static_cast<hsize_t>(layout.width), height = static_cast<hsize_t>(layout.height);
  write_number(file, "version", kVersion);
  write_number(file, "width", width);
  write_number(file, "height", height);
  write_lines(file, "point_names", layout.point_names);
  write_lines(file, "domains", records.domains);
  write_lines(file, "source", records.source);
  write_values(file, "flip_pairs", {layout.flip_pairs.size(), 2},
               reinterpret_cast<const uint32_t*>(layout.flip_pairs.data()));
  write_values(file, "pixels", {count, height, width}, records.pixels.data());
  write_values(file, "points", {count, num_points, 2}, records.points.data());
  write_values(file, "domain", {count}, records.domain.data());
  write_values(file, "id", {count}, records.id.data());
  expect_done(H5Fflush(file, H5F_SCOPE_GLOBAL) >= 0, "everything");
  const ssize_t size = H5Fget_file_image(file, nullptr, 0);
  expect_done(size > 0, "an image");
  std::vector<std::byte> bytes(kHeaderBytes + static_cast<size_t>(size));
  H5Fget_file_image(file, bytes.data() + kHeaderBytes, static_cast<size_t>(size));
  const std::string header = header_for(std::span(bytes).subspan(kHeaderBytes));
  std::memcpy(bytes.data(), header.data(), kHeaderBytes);
  return bytes;
}

FaceRecords from_face_file(const std::vector<std::byte>& bytes, const std::string& where) {
  const std::span<const std::byte> content = checked_content(bytes, where);
  FaceRecords records;
  {
    const std::lock_guard lock(hdf5_lock());
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // failures become one DataError
    const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
    H5Pset_fapl_core(access, 16u << 20, false);
    // HDF5 copies the image; it takes a pointer to non-const only.
    H5Pset_file_image(access, const_cast<std::byte*>(content.data()), content.size());
    const Handle file(H5Fopen("faces.h5", H5F_ACC_RDONLY, access), H5Fclose);
    const Reader reader(file, where, bytes.size());
    if (file < 0) reader.fail("HDF5 behind the header", "something else");
    if (reader.number("version") != kVersion) reader.fail("the same version inside and in the header", "another");
    records.layout = read_layout(reader);
    records.domains = reader.lines("domains");
    records.source = reader.lines("source");
    const hsize_t count = reader.shape("id", 1)[0];
    const auto width = static_cast<hsize_t>(records.layout.width), height = static_cast<hsize_t>(records.layout.height);
    records.id = reader.values<uint64_t>("id", {count});
    records.domain = reader.values<uint32_t>("domain", {count});
    records.pixels = reader.values<uint8_t>("pixels", {count, height, width});
    records.points = reader.values<float>("points", {count, records.layout.num_points(), 2});
  }
  expect_whole(records, where);
  return records;
}

void write_faces(FileLayer& files, const fs::path& path, const FaceRecords& records) {
  const std::vector<std::byte> bytes = to_face_file(records);
  fs::path unfinished = path;
  unfinished += ".tmp";
  files.write(unfinished, bytes);
  files.rename(unfinished, path);
  files.sync_folder(path.has_parent_path() ? path.parent_path() : ".");
}

FaceRecords read_faces(const fs::path& path) {
  return from_face_file(read_bytes(path), path.string());
}

FaceRecords read_faces(const std::vector<fs::path>& paths) {
  std::vector<FaceRecords> parts;
  std::vector<std::string> names;
  for (const fs::path& path : paths) {
    parts.push_back(read_faces(path));
    names.push_back(path.string());
  }
  return joined(parts, names);
}

}  // namespace rehearse::images
