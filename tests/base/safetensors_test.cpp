#include "trainer/base/safetensors.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>

#include "trainer/base/error.h"
#include "trainer/base/random.h"

namespace rehearse {
namespace {

std::vector<std::byte> file_of(const std::string& header, size_t data_bytes) {
  std::vector<std::byte> bytes(8 + header.size() + data_bytes, std::byte{1});
  const uint64_t size = header.size();
  std::memcpy(bytes.data(), &size, 8);
  std::memcpy(bytes.data() + 8, header.data(), header.size());
  return bytes;
}

std::vector<std::byte> small_file() {
  static const std::vector<float> values{1, 2, 3, 4, 5, 6};
  static const std::vector<int64_t> numbers{-7};
  return safetensors_of({{"b", {"F32", {2, 3}, std::as_bytes(std::span(values))}},
                         {"a", {"I64", {}, std::as_bytes(std::span(numbers))}},
                         {"empty", {"U8", {0, 5}, {}}}},
                        {{"format", "test"}});
}

TEST(Safetensors, ReadsBackWhatItWrote) {
  const Safetensors file = Safetensors::parse(small_file(), "file");
  ASSERT_EQ(file.tensors().size(), 3u);
  const TensorView& b = file.at("b");
  EXPECT_EQ(b.dtype, "F32");
  EXPECT_EQ(b.shape, (std::vector<int64_t>{2, 3}));
  float last = 0;
  std::memcpy(&last, b.bytes.data() + 20, 4);
  EXPECT_EQ(last, 6);
  EXPECT_EQ(file.at("empty").bytes.size(), 0u);
  EXPECT_EQ(file.metadata().at("format"), "test");
  EXPECT_THROW(file.at("c"), DataError);
}

TEST(Safetensors, EqualContentsGiveEqualBytesWithAlignedData) {
  EXPECT_EQ(small_file(), small_file());
  uint64_t header = 0;
  std::memcpy(&header, small_file().data(), 8);
  EXPECT_EQ(header % 8, 0u);
}

TEST(Safetensors, AFileOnDiskSurvivesTheRoundTrip) {
  const fs::path path = fs::temp_directory_path() / concat("safetensors_test_", ::getpid(), ".safetensors");
  FileLayer files;
  const std::vector<uint8_t> values{9, 8};
  write_safetensors(files, path, {{"x", {"U8", {2}, std::as_bytes(std::span(values))}}});
  EXPECT_EQ(Safetensors::read(path).at("x").bytes[1], std::byte{8});
  fs::remove(path);
  EXPECT_THROW(Safetensors::read(path), DataError);
}

TEST(Safetensors, PartsOfAFileAreReadAlone) {
  const fs::path path = fs::temp_directory_path() / concat("safetensors_parts_", ::getpid(), ".safetensors");
  FileLayer files;
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  const std::vector<uint8_t> bytes{7};
  write_safetensors(
      files, path,
      {{"a", {"U8", {1}, std::as_bytes(std::span(bytes))}}, {"x", {"F32", {3, 2}, std::as_bytes(std::span(values))}}});
  const SafetensorsFile file(path);
  EXPECT_TRUE(file.contains("a") && file.contains("x") && !file.contains("y"));
  EXPECT_EQ(file.num_values("x"), 6u);
  EXPECT_EQ(file.num_values("y"), 0u);
  std::vector<float> part(3);
  file.read("x", 2, part);
  EXPECT_EQ(part, (std::vector<float>{3, 4, 5}));
  EXPECT_THROW(file.read("x", 4, part), DataError);
  EXPECT_THROW(file.read("y", 0, part), DataError);
  EXPECT_THROW(file.read("a", 0, std::span(part).first(1)), DataError);
  const std::vector<std::byte> whole = read_bytes(path);
  for (size_t size = 0; size < whole.size(); ++size) {
    files.write(path, std::span(whole).first(size));
    EXPECT_THROW(SafetensorsFile{path}, DataError) << size;
  }
  fs::remove(path);
  EXPECT_THROW(SafetensorsFile{path}, DataError);
}

TEST(Safetensors, EveryCutOfAFileIsADataError) {
  const std::vector<std::byte> whole = small_file();
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_THROW(Safetensors::parse({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)}, "cut"),
                 DataError);
  std::vector<std::byte> longer = whole;
  longer.push_back(std::byte{0});
  EXPECT_THROW(Safetensors::parse(longer, "longer"), DataError);
}

TEST(Safetensors, WrongHeadersAreDataErrors) {
  const auto tensor = [](const std::string& offsets, const std::string& shape = "[1]",
                         const std::string& type = "F32") {
    return R"({"dtype":")" + type + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
  };
  EXPECT_NO_THROW(Safetensors::parse(file_of(R"({"x":)" + tensor("[0,4]") + "}", 4), "good"));
  for (const std::string& header :
       {std::string("[]"), std::string("{"), std::string("null"), std::string(R"({"x":1})"),
        R"({"x":)" + tensor("[0,3]") + "}", R"({"x":)" + tensor("[4,0]") + "}", R"({"x":)" + tensor("[0,8]") + "}",
        R"({"x":)" + tensor("[-4,0]") + "}", R"({"x":)" + tensor("[0]") + "}",
        R"({"x":)" + tensor("[0,4]", "[-1]") + "}", R"({"x":)" + tensor("[0,4]", "[1.0]") + "}",
        R"({"x":)" + tensor("[0,4]", "[1]", "F33") + "}",
        R"({"x":)" + tensor("[0,4]", "[4611686018427387904,4611686018427387904,4]") + "}",
        R"({"x":)" + tensor("[0,4]") + R"(,"x":)" + tensor("[0,4]") + "}",
        R"({"x":)" + tensor("[0,4]") + R"(,"y":)" + tensor("[0,4]") + "}",
        R"({"__metadata__":{"a":1},"x":)" + tensor("[0,4]") + "}"})
    EXPECT_THROW(Safetensors::parse(file_of(header, 4), "bad"), DataError) << header;
  EXPECT_THROW(Safetensors::parse(file_of(R"({"x":)" + tensor("[4,8]") + "}", 8), "hole"), DataError);
}

TEST(Safetensors, FlippedBytesNeverDoMoreThanThrowDataError) {
  const uint64_t seed = 97;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  const std::vector<std::byte> whole = small_file();
  int refused = 0;
  std::byte touched{0};
  for (uint64_t round = 0; round < 4000; ++round) {
    std::vector<std::byte> bytes = whole;
    const RandomKey key = RandomKey(seed).with(round);
    for (uint64_t i = 0; i <= key.below(3, 0); ++i)
      bytes[key.below(bytes.size(), 2 * i + 1)] = std::byte(key.below(256, 2 * i + 2));
    try {
      const Safetensors file = Safetensors::parse(bytes, "fuzz");
      for (const auto& [name, view] : file.tensors())
        for (std::byte byte : view.bytes) touched ^= byte;
    } catch (const DataError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000) << static_cast<int>(touched);
}

TEST(Safetensors, AViewThatDoesNotFitItsShapeIsABug) {
  const std::vector<float> values{1, 2};
  EXPECT_THROW(safetensors_of({{"x", {"F32", {3}, std::as_bytes(std::span(values))}}}), BugError);
}

}  // namespace
}  // namespace rehearse
