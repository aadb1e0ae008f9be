#include "trainer/checkpoint/state_file.h"

#include <hdf5.h>

#include <mutex>

#include "data/hdf5_lock.h"
#include "trainer/base/error.h"
#include "trainer/base/text/printable.h"

namespace rehearse {
namespace {

// Closes an HDF5 identifier by the function of its kind.
class Handle {
 public:
  Handle(hid_t id, herr_t (*close)(hid_t), const std::string& what) : id_(id), close_(close) {
    if (id < 0) throw DataError(what, ": HDF5 refused it");
  }
  ~Handle() { close_(id_); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  operator hid_t() const { return id_; }  // NOLINT(google-explicit-constructor): it stands for its number

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

// Names in files are stable; native types are what memory holds.
hid_t native_type(ArrayType type) {
  switch (type) {
    case ArrayType::kU8:
      return H5T_NATIVE_UINT8;
    case ArrayType::kU16:
      return H5T_NATIVE_UINT16;
    case ArrayType::kU32:
      return H5T_NATIVE_UINT32;
    case ArrayType::kU64:
      return H5T_NATIVE_UINT64;
    case ArrayType::kI64:
      return H5T_NATIVE_INT64;
    case ArrayType::kF32:
      return H5T_NATIVE_FLOAT;
    case ArrayType::kF64:
      return H5T_NATIVE_DOUBLE;
  }
  return H5T_NATIVE_UINT8;
}

constexpr ArrayType kTypes[] = {ArrayType::kU8,  ArrayType::kU16, ArrayType::kU32, ArrayType::kU64,
                                ArrayType::kI64, ArrayType::kF32, ArrayType::kF64};

size_t bytes_of(ArrayType type) {
  return H5Tget_size(native_type(type));
}

// HDF5 prints its error stack by default; failures here become one DataError.
void silence() {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

herr_t add_name(hid_t, const char* name, const H5O_info_t* info, void* list) {
  if (info->type == H5O_TYPE_DATASET) static_cast<std::vector<std::string>*>(list)->push_back(name);
  return 0;
}

StateArray read_dataset(hid_t file, const std::string& name, const std::string& where) {
  const Handle dataset(H5Dopen2(file, name.c_str(), H5P_DEFAULT), H5Dclose, where);
  const Handle stored(H5Dget_type(dataset), H5Tclose, where);
  const Handle space(H5Dget_space(dataset), H5Sclose, where);
  for (ArrayType type : kTypes) {
    if (H5Tequal(stored, native_type(type)) <= 0) continue;
    StateArray array{type, {}};
    const hssize_t count = H5Sget_simple_extent_npoints(space);
    // What is not all there would ask for more memory than the file has bytes.
    if (count < 0 || H5Dget_storage_size(dataset) / bytes_of(type) != static_cast<hsize_t>(count))
      throw DataError(where, ": dataset ", printable(name), ": expected ", count, " values; found room for others");
    array.bytes.resize(static_cast<size_t>(count) * bytes_of(type));
    if (H5Dread(dataset, native_type(type), H5S_ALL, H5S_ALL, H5P_DEFAULT, array.bytes.data()) < 0)
      throw DataError(where, ": dataset ", printable(name), ": expected to read it; found an HDF5 error");
    return array;
  }
  throw DataError(where, ": dataset ", printable(name), ": expected an integer or float type; found another");
}

}  // namespace

std::vector<std::byte> to_hdf5(const std::map<std::string, StateArray>& arrays) {
  const std::lock_guard lock(hdf5_lock());  // loader threads open shards meanwhile
  silence();
  const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "state file");
  H5Pset_fapl_core(access, 1 << 20, false);
  const Handle file(H5Fcreate("state.h5", H5F_ACC_TRUNC, H5P_DEFAULT, access), H5Fclose, "state file");
  const Handle links(H5Pcreate(H5P_LINK_CREATE), H5Pclose, "state file");
  H5Pset_create_intermediate_group(links, 1);
  const Handle timeless(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, "state file");
  H5Pset_obj_track_times(timeless, false);  // equal states are equal bytes at any hour
  for (const auto& [name, array] : arrays) {
    const hsize_t count = array.bytes.size() / bytes_of(array.type);
    const Handle space(H5Screate_simple(1, &count, nullptr), H5Sclose, name);
    const Handle dataset(H5Dcreate2(file, name.c_str(), native_type(array.type), space, links, timeless, H5P_DEFAULT),
                         H5Dclose, name);
    if (count > 0 && H5Dwrite(dataset, native_type(array.type), H5S_ALL, H5S_ALL, H5P_DEFAULT, array.bytes.data()) < 0)
      throw DataError("state file: array ", name, ": HDF5 could not write it");
  }
  H5Fflush(file, H5F_SCOPE_GLOBAL);
  const ssize_t size = H5Fget_file_image(file, nullptr, 0);
  if (size <= 0) throw DataError("state file: HDF5 gave no image");
  std::vector<std::byte> image(static_cast<size_t>(size));
  H5Fget_file_image(file, image.data(), image.size());
  return image;
}

std::map<std::string, StateArray> from_hdf5(const std::vector<std::byte>& image, const std::string& name) {
  const std::lock_guard lock(hdf5_lock());
  silence();
  const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, name);
  H5Pset_fapl_core(access, 1 << 20, false);
  // HDF5 copies the image; it takes a pointer to non-const only.
  H5Pset_file_image(access, const_cast<std::byte*>(image.data()), image.size());
  const Handle file(H5Fopen("state.h5", H5F_ACC_RDONLY, access), H5Fclose, name);
  std::vector<std::string> names;
  if (H5Ovisit2(file, H5_INDEX_NAME, H5_ITER_INC, add_name, &names, H5O_INFO_BASIC) < 0)
    throw DataError(name, ": expected an HDF5 file whose groups can be listed; found an HDF5 error");
  std::map<std::string, StateArray> arrays;
  for (const std::string& one : names) arrays[one] = read_dataset(file, one, name);
  return arrays;
}

}  // namespace rehearse
