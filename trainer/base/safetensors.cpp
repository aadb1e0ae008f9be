#include "trainer/base/safetensors.h"

#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little endian");

using nlohmann::json;

const std::map<std::string, size_t> kElementBytes = {{"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8},
                                                     {"I32", 4}, {"I16", 2}, {"I8", 1},  {"U8", 1},   {"U16", 2},
                                                     {"U32", 4}, {"U64", 8}, {"BOOL", 1}};

// Bytes that a tensor of this type and shape takes; DataError for unknown types and absurd shapes.
size_t bytes_needed(const std::string& dtype, const std::vector<int64_t>& shape, const std::string& where) {
  const auto found = kElementBytes.find(dtype);
  if (found == kElementBytes.end()) throw DataError(where, ": expected a known dtype; found \"", dtype, "\"");
  size_t bytes = found->second;
  for (int64_t extent : shape) {
    if (extent < 0 || (extent > 0 && bytes > (size_t{1} << 48) / static_cast<size_t>(extent)))
      throw DataError(where, ": expected a shape that fits in memory; found an extent of ", extent);
    bytes *= static_cast<size_t>(extent);
  }
  return bytes;
}

TensorView parse_entry(const json& entry, std::span<const std::byte> data, const std::string& where) {
  TensorView view{entry.at("dtype").get<std::string>(), entry.at("shape").get<std::vector<int64_t>>(), {}};
  const auto offsets = entry.at("data_offsets").get<std::vector<uint64_t>>();
  if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > data.size())
    throw DataError(where, ": expected data_offsets inside ", data.size(), " bytes; found others");
  view.bytes = data.subspan(offsets[0], offsets[1] - offsets[0]);
  const size_t needed = bytes_needed(view.dtype, view.shape, where);
  if (needed != view.bytes.size()) throw DataError(where, ": expected ", needed, " bytes; found ", view.bytes.size());
  return view;
}

}  // namespace

std::vector<std::byte> to_safetensors(const std::map<std::string, TensorView>& tensors,
                                      const std::map<std::string, std::string>& metadata) {
  json header = json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  size_t offset = 0;
  for (const auto& [name, view] : tensors) {
    REHEARSE_CHECK(bytes_needed(view.dtype, view.shape, name) == view.bytes.size(), "shape and bytes agree");
    header[name] = {
        {"dtype", view.dtype}, {"shape", view.shape}, {"data_offsets", {offset, offset + view.bytes.size()}}};
    offset += view.bytes.size();
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // tensors start aligned
  const uint64_t length = text.size();
  std::vector<std::byte> bytes(sizeof length + text.size() + offset);
  std::memcpy(bytes.data(), &length, sizeof length);
  std::memcpy(bytes.data() + sizeof length, text.data(), text.size());
  std::byte* at = bytes.data() + sizeof length + text.size();
  for (const auto& [name, view] : tensors) {
    if (!view.bytes.empty()) std::memcpy(at, view.bytes.data(), view.bytes.size());
    at += view.bytes.size();
  }
  return bytes;
}

SafetensorsFile parse_safetensors(std::vector<std::byte> bytes, const std::string& name) {
  SafetensorsFile file;
  file.storage = std::move(bytes);
  uint64_t length = 0;
  if (file.storage.size() < sizeof length)
    throw DataError(name, ": expected a safetensors header; found ", file.storage.size(), " bytes");
  std::memcpy(&length, file.storage.data(), sizeof length);
  if (length > file.storage.size() - sizeof length)
    throw DataError(name, ": expected a header of ", length, " bytes; found ", file.storage.size() - sizeof length);
  const auto* text = reinterpret_cast<const char*>(file.storage.data() + sizeof length);
  const std::span<const std::byte> data = std::span<const std::byte>(file.storage).subspan(sizeof length + length);
  try {
    const json header = json::parse(text, text + length);
    if (!header.is_object()) throw DataError(name, ": expected a JSON object as header; found another value");
    for (const auto& [key, entry] : header.items()) {
      if (key == "__metadata__")
        file.metadata = entry.get<std::map<std::string, std::string>>();
      else
        file.tensors[key] = parse_entry(entry, data, name + ": " + key);
    }
  } catch (const json::exception& failure) {
    throw DataError(name, ": expected a safetensors header; found ", failure.what());
  }
  return file;
}

}  // namespace rehearse
