// The safetensors format: 8 bytes of header length (little endian), a JSON header, then raw little-endian tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace rehearse {

// One tensor; `bytes` belongs to the caller when writing and to the SafetensorsFile when reading.
struct TensorView {
  std::string dtype;  // "F32", "F64", "BF16", "I64", "I32", "U8", …
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
};

// Bytes of a file with the tensors in order of name; metadata is a map of texts.
std::vector<std::byte> to_safetensors(const std::map<std::string, TensorView>& tensors,
                                      const std::map<std::string, std::string>& metadata = {});

// A parsed file: owns its bytes.
struct SafetensorsFile {
  std::vector<std::byte> storage;
  std::map<std::string, TensorView> tensors;
  std::map<std::string, std::string> metadata;
};

// Checks header, offsets, shapes and sizes; DataError "name: expected, found" for anything else than a whole file.
SafetensorsFile parse_safetensors(std::vector<std::byte> bytes, const std::string& name);

}  // namespace rehearse
