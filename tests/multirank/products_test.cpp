#include "trainer/engine/exchange/products.h"

#include <gmock/gmock.h>

#include "models/ops/products/block_product.h"
#include "models/ops/products/product.h"
#include "tests/multirank/world_fixture.h"

namespace rehearse {
namespace {

TEST(Products, AllRanksTakeTheSameLibraryAndSayWhich) {
  for (const bool is_deterministic : {true, false}) {
    const std::string line = choose_products(communicator(), is_deterministic);
    for (const ProductLibrary other : gather_values(communicator(), product_library(), "all_gather (libraries)"))
      EXPECT_EQ(other, product_library());
    EXPECT_THAT(line, testing::HasSubstr(name_of(product_library())));
    EXPECT_EQ(line.find("GFLOP/s") == line.npos, is_deterministic) << line;
    if (is_deterministic) {
      EXPECT_EQ(product_library() == ProductLibrary::kOneDnn, has_block_products());
    }
  }
  choose_products(communicator(), true);
}

}  // namespace
}  // namespace rehearse
