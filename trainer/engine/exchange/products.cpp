#include "trainer/engine/exchange/products.h"

#include <algorithm>
#include <cmath>

#include "models/ops/products/block_product.h"
#include "models/ops/products/product.h"
#include "trainer/base/error.h"

namespace rehearse {

std::string choose_products(Communicator& communicator, bool is_deterministic) {
  // 0: no blocks here; 1: they are here, nobody asks for their speed.
  ProductSpeed speed{1, has_block_products() ? 1.0 : 0.0};
  if (!is_deterministic) speed = measure_products();
  double least = 1e300;
  for (const ProductSpeed& one : gather_values(communicator, speed, "all_gather (speed of products)"))
    least = std::min(least, one.one_dnn_gflops / one.mkl_gflops);
  choose_product_library(least >= 1 ? ProductLibrary::kOneDnn : ProductLibrary::kMkl);
  std::string line = concat("products of matrices on the CPU: ", name_of(product_library()));
  if (!is_deterministic)
    line += concat(" (one core of this machine: oneDNN ", std::llround(speed.one_dnn_gflops), ", MKL ",
                   std::llround(speed.mkl_gflops), " GFLOP/s)");
  return line;
}

}  // namespace rehearse
