// What a part hands to the checkpoint: small values as JSON, tables as named arrays.
#pragma once

#include <cstddef>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>
#include <vector>

#include "trainer/base/error.h"

namespace rehearse {

enum class ArrayType { kU8, kU16, kU32, kU64, kI64, kF32, kF64 };

template <class T>
constexpr ArrayType array_type_of() {
  if constexpr (std::is_same_v<T, uint8_t>)
    return ArrayType::kU8;
  else if constexpr (std::is_same_v<T, uint16_t>)
    return ArrayType::kU16;
  else if constexpr (std::is_same_v<T, uint32_t>)
    return ArrayType::kU32;
  else if constexpr (std::is_same_v<T, uint64_t>)
    return ArrayType::kU64;
  else if constexpr (std::is_same_v<T, int64_t>)
    return ArrayType::kI64;
  else if constexpr (std::is_same_v<T, float>)
    return ArrayType::kF32;
  else
    return ArrayType::kF64;
}

// One-dimensional; owns its bytes.
struct StateArray {
  ArrayType type = ArrayType::kU8;
  std::vector<std::byte> bytes;

  template <class T>
  static StateArray of(const std::vector<T>& values) {
    StateArray array{array_type_of<T>(), std::vector<std::byte>(values.size() * sizeof(T))};
    if (!values.empty()) std::memcpy(array.bytes.data(), values.data(), array.bytes.size());
    return array;
  }
  // Throws DataError when the stored type differs.
  template <class T>
  std::vector<T> to(const std::string& name) const {
    if (type != array_type_of<T>()) throw DataError("checkpoint array ", name, ": expected another element type");
    std::vector<T> values(bytes.size() / sizeof(T));
    if (!values.empty()) std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
    return values;
  }
};

// State of one part of a run. Reading a missing name throws DataError.
struct State {
  nlohmann::json values = nlohmann::json::object();
  std::map<std::string, StateArray> arrays;

  template <class T>
  std::vector<T> array(const std::string& name) const {
    auto found = arrays.find(name);
    if (found == arrays.end()) throw DataError("checkpoint: array ", name, " is missing");
    return found->second.to<T>(name);
  }
};

}  // namespace rehearse
