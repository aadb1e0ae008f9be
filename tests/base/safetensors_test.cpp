#include "trainer/base/safetensors.h"

#include <gmock/gmock.h>

#include <cstring>

#include "trainer/base/error.h"
#include "trainer/base/random.h"

namespace rehearse {
namespace {

std::vector<std::byte> example() {
  static const std::vector<float> weight = {1, 2, 3, 4, 5, 6};
  static const std::vector<double> bias = {0.5};
  return to_safetensors({{"weight", {"F32", {2, 3}, std::as_bytes(std::span(weight))}},
                         {"bias", {"F64", {}, std::as_bytes(std::span(bias))}},
                         {"empty", {"F32", {0, 4}, {}}}},
                        {{"step", "7"}});
}

TEST(Safetensors, ReadsBackWhatItWrote) {
  const SafetensorsFile file = parse_safetensors(example(), "x");
  EXPECT_EQ(file.tensors.size(), 3u);
  EXPECT_EQ(file.metadata.at("step"), "7");
  const TensorView& weight = file.tensors.at("weight");
  EXPECT_EQ(weight.shape, (std::vector<int64_t>{2, 3}));
  float last = 0;
  std::memcpy(&last, weight.bytes.data() + 20, 4);
  EXPECT_EQ(last, 6);
  EXPECT_TRUE(file.tensors.at("empty").bytes.empty());
}

TEST(Safetensors, EveryTruncationIsADataError) {
  const auto whole = example();
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_THROW(parse_safetensors({whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size)}, "x"), DataError)
        << size;
}

TEST(Safetensors, DamagedBytesAreAnErrorOrAValidFile) {
  const uint64_t seed = 11;
  const RandomKey key(seed);
  for (uint64_t round = 0; round < 3000; ++round) {
    auto bytes = example();
    for (uint64_t i = 0; i < 1 + round % 3; ++i)
      bytes[key.with(round).below(bytes.size(), 2 * i)] = static_cast<std::byte>(key.with(round).bits(2 * i + 1));
    try {
      const SafetensorsFile file = parse_safetensors(std::move(bytes), "x");
      for (const auto& [name, view] : file.tensors)
        for (std::byte one : view.bytes) (void)std::to_integer<int>(one);
    } catch (const DataError&) {
    }
  }
}

}  // namespace
}  // namespace rehearse
