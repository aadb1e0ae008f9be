// The safetensors format: 8 bytes of header size, a JSON header, raw little-endian data. No libtorch here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "trainer/base/files.h"

namespace rehearse {

// One array that somebody else owns.
struct TensorView {
  std::string dtype;  // "F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "U16", "U32", "U64", "BOOL"
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
};

// Bytes of one element; 0 for an unknown name.
size_t element_size_of(const std::string& dtype);

using Metadata = std::map<std::string, std::string>;

// A whole file in memory. Views point into it and die with it.
class Safetensors {
 public:
  // Throws DataError on anything that the format forbids: sizes that disagree, ranges outside the data, holes,
  // overlaps, unknown types, names given twice.
  static Safetensors read(const fs::path& path);
  static Safetensors parse(std::vector<std::byte> bytes, const std::string& name);

  const std::map<std::string, TensorView>& tensors() const { return tensors_; }
  const TensorView& at(const std::string& name) const;  // DataError when absent
  const Metadata& metadata() const { return metadata_; }

 private:
  std::string name_;
  std::vector<std::byte> bytes_;  // moves keep the views valid
  std::map<std::string, TensorView> tensors_;
  Metadata metadata_;
};

// A file of which parts are read as they are needed: of what is larger than a process should hold.
class SafetensorsFile {
 public:
  // Reads the header. Throws what Safetensors::read throws.
  explicit SafetensorsFile(const fs::path& path);

  bool contains(const std::string& name) const { return tensors_.contains(name); }
  uint64_t num_values(const std::string& name) const;  // 0 where there is none of that name
  // Values first … first + into.size() - 1 of a tensor of F32, row by row; DataError where it is another or ends
  // before.
  void read(const std::string& name, uint64_t first, std::span<float> into) const;

 private:
  fs::path path_;
  struct Place {
    std::string dtype;
    uint64_t begin = 0, bytes = 0;  // in the file
  };
  std::map<std::string, Place> tensors_;
};

// Data in order of name, so equal contents give equal bytes. A bug when a view's bytes do not fit its shape.
std::vector<std::byte> safetensors_of(const std::map<std::string, TensorView>& tensors, const Metadata& metadata = {});
void write_safetensors(FileLayer& files, const fs::path& path, const std::map<std::string, TensorView>& tensors,
                       const Metadata& metadata = {});

}  // namespace rehearse
