#include "models/ops/products/product.h"

#include "models/ops/products/block_product.h"
#include "tests/models/tensor_support.h"

namespace rehearse {
namespace {

using namespace testing_support;

// Leaves the process with the library it had.
class Library {
 public:
  explicit Library(ProductLibrary library) { choose_product_library(library); }
  ~Library() { choose_product_library(before_); }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

 private:
  ProductLibrary before_ = product_library();
};

class Blocks : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_block_products()) GTEST_SKIP() << "oneDNN has no microkernel for this processor";
    choose_product_library(ProductLibrary::kOneDnn);
  }
};

struct Gradients {
  at::Tensor y, dx, dweight;
};

template <class Function>
Gradients gradients_of(const Function& function, const at::Tensor& x, const at::Tensor& weight) {
  const at::Tensor a = x.detach().clone().set_requires_grad(true), b = weight.detach().clone().set_requires_grad(true);
  const at::Tensor y = function(a, b);
  y.backward(noise(y.sizes().vec(), 9, x.scalar_type()));
  return {y.detach(), a.grad(), b.grad()};
}

void expect_near(const Gradients& found, const Gradients& expected, double tolerance) {
  EXPECT_LE(difference(found.y, expected.y), tolerance * largest(expected.y));
  EXPECT_LE(difference(found.dx, expected.dx), tolerance * largest(expected.dx));
  EXPECT_LE(difference(found.dweight, expected.dweight), tolerance * largest(expected.dweight));
}

TEST_F(Blocks, EqualLibtorchsProductAndItsGradients) {
  for (const auto& [rows, inputs, outputs] :
       {std::tuple{1, 1, 1}, {3, 5, 7}, {16, 12, 24}, {129, 40, 33}, {700, 80, 256}, {1031, 513, 130}}) {
    const at::Tensor x = noise({1, rows, inputs}, 1, at::kFloat), weight = noise({outputs, inputs}, 2, at::kFloat);
    const auto ours = gradients_of([](auto& a, auto& b) { return product(a, b, {}); }, x, weight);
    const auto exact =
        gradients_of([](auto& a, auto& b) { return at::linear(a, b); }, x.to(at::kDouble), weight.to(at::kDouble));
    SCOPED_TRACE(testing::Message() << rows << " " << inputs << " " << outputs);
    expect_near({ours.y.to(at::kDouble), ours.dx.to(at::kDouble), ours.dweight.to(at::kDouble)}, exact, 2e-6);
  }
}

TEST_F(Blocks, ARowDependsOnNoOtherRowAndNoThread) {
  const at::Tensor x = noise({300, 256}, 1, at::kFloat), weight = noise({96, 256}, 2, at::kFloat);
  const at::Tensor whole = product(x, weight, {});
  for (int64_t rows = 1; rows < 300; rows += rows < 140 ? 1 : 37)
    EXPECT_TRUE(product(x.narrow(0, 300 - rows, rows), weight, {}).equal(whole.narrow(0, 300 - rows, rows))) << rows;
  for (const int threads : {2, 3, 5}) {
    at::set_num_threads(threads);
    const auto shared = gradients_of([](auto& a, auto& b) { return product(a, b, {}); }, x, weight);
    at::set_num_threads(1);
    const auto alone = gradients_of([](auto& a, auto& b) { return product(a, b, {}); }, x, weight);
    EXPECT_TRUE(shared.y.equal(alone.y) && shared.dx.equal(alone.dx) && shared.dweight.equal(alone.dweight)) << threads;
  }
}

TEST_F(Blocks, EqualLibtorchsConvolutionAndItsGradients) {
  for (const auto& [batch, frames, inputs, outputs, kernel, stride] : {std::tuple{1, 1, 1, 1, 1, 1},
                                                                       {3, 17, 4, 6, 5, 2},
                                                                       {2, 16, 3, 8, 3, 3},
                                                                       {5, 40, 80, 64, 5, 2},
                                                                       {2, 7, 6, 5, 11, 1},
                                                                       {1, 900, 8, 16, 5, 4},
                                                                       {4, 33, 5, 9, 1, 2}}) {
    SCOPED_TRACE(testing::Message() << batch << " " << frames << " " << inputs << " " << outputs << " " << kernel << " "
                                    << stride);
    const at::Tensor x = noise({batch, frames, inputs}, 1, at::kFloat);
    const at::Tensor weight = noise({outputs, kernel, inputs}, 2, at::kFloat);
    const int64_t step = stride, padding = kernel / 2;
    const auto ours = gradients_of([&](auto& a, auto& b) { return convolution(a, b, step); }, x, weight);
    const auto reference = [&](auto& a, auto& b) {
      return at::conv1d(a.transpose(1, 2), b.permute({0, 2, 1}), {}, step, padding).transpose(1, 2);
    };
    const auto exact = gradients_of(reference, x.to(at::kDouble), weight.to(at::kDouble));
    expect_near({ours.y.to(at::kDouble), ours.dx.to(at::kDouble), ours.dweight.to(at::kDouble)}, exact, 2e-6);
  }
}

TEST_F(Blocks, AnUtteranceIsConvolvedAloneAsInAnyBatchAndOnAnyThreads) {
  const at::Tensor x = noise({7, 50, 12}, 1, at::kFloat), weight = noise({24, 5, 12}, 2, at::kFloat);
  const at::Tensor together = convolution(x, weight, 2);
  for (int64_t b = 0; b < 7; ++b)
    EXPECT_TRUE(convolution(x.narrow(0, b, 1), weight, 2).equal(together.narrow(0, b, 1))) << b;
  const auto run = [&](auto& a, auto& b) { return convolution(a, b, 2); };
  const auto alone = gradients_of(run, x, weight);
  at::set_num_threads(3);
  const auto shared = gradients_of(run, x, weight);
  at::set_num_threads(1);
  EXPECT_TRUE(shared.y.equal(alone.y) && shared.dx.equal(alone.dx) && shared.dweight.equal(alone.dweight));
}

// Any number of rows is cut into powers of two, so that few shapes of blocks are ever met.
TEST_F(Blocks, NewLengthsMakeNoNewMachineCode) {
  const at::Tensor weight = noise({64, 48}, 2, at::kFloat);
  const auto run = [&](int64_t rows) {
    gradients_of([](auto& a, auto& b) { return product(a, b, {}); }, noise({rows, 48}, 1, at::kFloat), weight);
  };
  for (int64_t rows = 1; rows <= 2 * kInnerPart; ++rows) run(rows);
  const uint64_t warm = num_block_kernels();
  for (const int64_t rows : {1025, 1500, 3333, 4097}) run(rows);
  EXPECT_EQ(num_block_kernels(), warm);
}

TEST(Products, BothLibrariesGiveTheSameWithinRounding) {
  if (!has_block_products()) GTEST_SKIP() << "oneDNN has no microkernel for this processor";
  const at::Tensor x = noise({200, 64}, 1, at::kFloat), weight = noise({32, 64}, 2, at::kFloat),
                   bias = noise({32}, 3, at::kFloat);
  const Library mkl(ProductLibrary::kMkl);
  const at::Tensor by_mkl = product(x, weight, bias);
  EXPECT_TRUE(by_mkl.equal(at::linear(x, weight, bias)));
  const Library one_dnn(ProductLibrary::kOneDnn);
  EXPECT_LE(difference(product(x, weight, bias), by_mkl), 2e-6 * largest(by_mkl));
}

TEST(Products, AreMeasuredInGflops) {
  const ProductSpeed speed = measure_products();
  EXPECT_GT(speed.mkl_gflops, 0.1);
  EXPECT_EQ(speed.one_dnn_gflops > 0, has_block_products());
}

}  // namespace
}  // namespace rehearse
