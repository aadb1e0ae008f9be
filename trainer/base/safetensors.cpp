#include "trainer/base/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

using nlohmann::json;

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian");

constexpr uint64_t kMaxHeaderBytes = 100 << 20;
constexpr const char* kMetadata = "__metadata__";

struct Range {
  uint64_t begin;
  uint64_t end;
  std::string name;
};

// JSON with every name of the outermost map at most once, or nothing.
json parsed_header(const char* text, size_t size, const std::string& where) {
  std::set<std::string> names;
  std::string repeated;
  const auto callback = [&](int depth, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::key && depth == 1 && !names.insert(value.get<std::string>()).second)
      repeated = value.get<std::string>();
    return true;
  };
  json header;
  try {
    header = json::parse(text, text + size, callback);
  } catch (const json::exception&) {
    throw DataError(where, ": expected a JSON header; found something else; the file is damaged");
  }
  if (!repeated.empty()) throw DataError(where, ": tensor ", repeated, ": expected once; found twice");
  if (!header.is_object()) throw DataError(where, ": expected a map as header; found ", header.type_name());
  return header;
}

// Product of the shape times the element size; DataError when it does not fit 63 bits.
uint64_t bytes_of(const std::vector<int64_t>& shape, size_t element_size, const std::string& where) {
  uint64_t bytes = element_size;
  for (int64_t size : shape)
    if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes) || bytes >> 62 != 0)
      throw DataError(where, ": expected a shape below 2^62 bytes; found more");
  return bytes;
}

std::vector<int64_t> shape_of(const json& entry, const std::string& where) {
  std::vector<int64_t> shape;
  if (!entry.contains("shape") || !entry["shape"].is_array()) throw DataError(where, ": expected a list `shape`");
  for (const json& size : entry["shape"]) {
    if (!size.is_number_unsigned() || size.get<uint64_t>() >> 62 != 0)
      throw DataError(where, ": shape: expected sizes of zero or more; found ", size.dump());
    shape.push_back(size.get<int64_t>());
  }
  return shape;
}

Range range_of(const json& entry, uint64_t data_bytes, const std::string& where) {
  const auto found = entry.find("data_offsets");
  const bool is_pair = found != entry.end() && found->is_array() && found->size() == 2 &&
                       (*found)[0].is_number_unsigned() && (*found)[1].is_number_unsigned();
  if (!is_pair) throw DataError(where, ": data_offsets: expected two positions");
  const Range range{(*found)[0].get<uint64_t>(), (*found)[1].get<uint64_t>(), where};
  if (range.begin > range.end || range.end > data_bytes)
    throw DataError(where, ": data_offsets: expected a range within ", data_bytes, " bytes; found ", range.begin,
                    " to ", range.end);
  return range;
}

// Neither holes nor overlaps: a writer that leaves them is broken, and so would be a checksum over tensors.
void expect_contiguous(std::vector<Range> ranges, uint64_t data_bytes, const std::string& name) {
  std::sort(ranges.begin(), ranges.end(),
            [](const Range& a, const Range& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  uint64_t position = 0;
  for (const Range& range : ranges) {
    if (range.begin != position)
      throw DataError(range.name, ": data_offsets: expected to begin at ", position, "; found ", range.begin);
    position = range.end;
  }
  if (position != data_bytes) throw DataError(name, ": expected ", position, " bytes of data; found ", data_bytes);
}

Metadata metadata_of(const json& entry, const std::string& name) {
  Metadata metadata;
  if (!entry.is_object()) throw DataError(name, ": __metadata__: expected a map of texts");
  for (const auto& [key, value] : entry.items()) {
    if (!value.is_string()) throw DataError(name, ": __metadata__.", key, ": expected a text");
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

// A file's header: what it holds and where, counted from the data's beginning.
struct Header {
  struct Entry {
    std::string dtype;
    std::vector<int64_t> shape;
    uint64_t begin = 0, bytes = 0;
  };
  std::map<std::string, Entry> tensors;
  Metadata metadata;
};

// `begin`: at least the first 8 bytes of a file of `size`.
uint64_t header_bytes_of(std::span<const std::byte> begin, uint64_t size, const std::string& name) {
  uint64_t header_bytes = 0;
  if (begin.size() < sizeof(header_bytes))
    throw DataError(name, ": expected at least 8 bytes; found ", begin.size(), "; the file is torn");
  std::memcpy(&header_bytes, begin.data(), sizeof(header_bytes));
  const uint64_t rest = size - sizeof(header_bytes);
  if (header_bytes > rest || header_bytes > kMaxHeaderBytes)
    throw DataError(name, ": expected a header within ", rest, " bytes; found a size of ", header_bytes);
  return header_bytes;
}

Header header_of(std::string_view text, uint64_t data_bytes, const std::string& name) {
  Header header;
  std::vector<Range> ranges;
  const json parsed = parsed_header(text.data(), text.size(), name);
  for (const auto& [key, entry] : parsed.items()) {
    const std::string where = name + ": " + key;
    if (key == kMetadata) {
      header.metadata = metadata_of(entry, name);
      continue;
    }
    if (!entry.is_object() || !entry.contains("dtype") || !entry["dtype"].is_string())
      throw DataError(where, ": expected a map with a text `dtype`");
    Header::Entry one{entry["dtype"].get<std::string>(), shape_of(entry, where)};
    const size_t element_size = element_size_of(one.dtype);
    if (element_size == 0) throw DataError(where, ": dtype: expected F32, I64 or similar; found \"", one.dtype, "\"");
    const Range range = range_of(entry, data_bytes, where);
    one.begin = range.begin;
    one.bytes = bytes_of(one.shape, element_size, where);
    if (range.end - range.begin != one.bytes)
      throw DataError(where, ": expected ", one.bytes, " bytes for its shape; found ", range.end - range.begin);
    ranges.push_back(range);
    header.tensors.emplace(key, std::move(one));
  }
  expect_contiguous(std::move(ranges), data_bytes, name);
  return header;
}

}  // namespace

size_t element_size_of(const std::string& dtype) {
  if (dtype == "F64" || dtype == "I64" || dtype == "U64") return 8;
  if (dtype == "F32" || dtype == "I32" || dtype == "U32") return 4;
  if (dtype == "F16" || dtype == "BF16" || dtype == "I16" || dtype == "U16") return 2;
  return dtype == "I8" || dtype == "U8" || dtype == "BOOL" ? 1 : 0;
}

Safetensors Safetensors::read(const fs::path& path) {
  return parse(read_bytes(path), path.string());
}

Safetensors Safetensors::parse(std::vector<std::byte> bytes, const std::string& name) {
  Safetensors file;
  file.name_ = name;
  file.bytes_ = std::move(bytes);
  const uint64_t header_bytes = header_bytes_of(file.bytes_, file.bytes_.size(), name);
  const std::byte* data = file.bytes_.data() + sizeof(header_bytes) + header_bytes;
  const auto* text = reinterpret_cast<const char*>(file.bytes_.data()) + sizeof(header_bytes);
  Header header = header_of({text, header_bytes}, file.bytes_.size() - sizeof(header_bytes) - header_bytes, name);
  for (auto& [key, entry] : header.tensors)
    file.tensors_[key] = {std::move(entry.dtype), std::move(entry.shape), {data + entry.begin, entry.bytes}};
  file.metadata_ = std::move(header.metadata);
  return file;
}

SafetensorsFile::SafetensorsFile(const fs::path& path) : path_(path) {
  std::error_code failure;
  const uint64_t size = fs::file_size(path, failure);
  std::ifstream in(path, std::ios::binary);
  if (failure || !in) throw DataError(path.string(), ": expected a file; found none that can be read");
  std::vector<std::byte> first(std::min<uint64_t>(size, sizeof(uint64_t)));
  in.read(reinterpret_cast<char*>(first.data()), static_cast<std::streamsize>(first.size()));
  const uint64_t header_bytes = header_bytes_of(first, size, path.string());
  std::string text(header_bytes, ' ');
  if (!in.read(text.data(), static_cast<std::streamsize>(text.size())))
    throw DataError(path.string(), ": expected a header of ", header_bytes, " bytes; found fewer");
  const uint64_t data = sizeof(header_bytes) + header_bytes;
  for (auto& [key, entry] : header_of(text, size - data, path.string()).tensors)
    tensors_[key] = {std::move(entry.dtype), data + entry.begin, entry.bytes};
}

uint64_t SafetensorsFile::num_values(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? 0 : found->second.bytes / element_size_of(found->second.dtype);
}

void SafetensorsFile::read(const std::string& name, uint64_t first, std::span<float> into) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end() || found->second.dtype != "F32" || first + into.size() > num_values(name))
    throw DataError(path_.string(), ": ", name, ": expected F32 with values ", first, " to ", first + into.size(),
                    "; found ", found == tensors_.end() ? "none" : found->second.dtype, " with ", num_values(name));
  std::ifstream in(path_, std::ios::binary);
  in.seekg(static_cast<std::streamoff>(found->second.begin + first * sizeof(float)));
  if (!in.read(reinterpret_cast<char*>(into.data()), static_cast<std::streamsize>(into.size_bytes())))
    throw DataError(path_.string(), ": ", name, ": expected to read it; found the file's end or an error");
}

const TensorView& Safetensors::at(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) throw DataError(name_, ": expected a tensor ", name, "; found none of that name");
  return found->second;
}

std::vector<std::byte> safetensors_of(const std::map<std::string, TensorView>& tensors, const Metadata& metadata) {
  json header = json::object();
  if (!metadata.empty()) header[kMetadata] = metadata;
  uint64_t position = 0;
  for (const auto& [name, view] : tensors) {
    REHEARSE_CHECK(name != kMetadata, "the name is the format's own");
    const uint64_t expected = bytes_of(view.shape, element_size_of(view.dtype), name);
    REHEARSE_CHECK(element_size_of(view.dtype) > 0 && view.bytes.size() == expected, "tensor ", name, " of type ",
                   view.dtype, " needs ", expected, " bytes; found ", view.bytes.size());
    header[name] = {{"dtype", view.dtype}, {"shape", view.shape}, {"data_offsets", {position, position + expected}}};
    position += expected;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // so that the data is aligned
  const uint64_t header_bytes = text.size();
  std::vector<std::byte> bytes(sizeof(header_bytes) + header_bytes + position);
  std::memcpy(bytes.data(), &header_bytes, sizeof(header_bytes));
  std::memcpy(bytes.data() + sizeof(header_bytes), text.data(), text.size());
  std::byte* data = bytes.data() + sizeof(header_bytes) + header_bytes;
  for (const auto& [name, view] : tensors) data = std::copy(view.bytes.begin(), view.bytes.end(), data);
  return bytes;
}

void write_safetensors(FileLayer& files, const fs::path& path, const std::map<std::string, TensorView>& tensors,
                       const Metadata& metadata) {
  files.write(path, safetensors_of(tensors, metadata));
}

}  // namespace rehearse
