// Our reducer against PyTorch's: the same gradients from the same model, data and transport.
#include <gtest/gtest.h>

#include "models/torch_prelude.h"
#include "tests/multirank/world_fixture.h"
#include "tests/support/c10d_oracle.h"
#include "trainer/base/random.h"
#include "trainer/engine/exchange/reducer.h"
#include "trainer/engine/update/arena.h"

namespace rehearse {
namespace {

// Layers of unequal size, one that is used twice, one loss in the middle.
struct Net {
  ParameterStore store{5, at::TensorOptions().dtype(at::kFloat)};
  std::vector<at::Tensor> weights;
  Net() {
    for (int64_t width : {7, 33, 64, 64, 5, 64}) {
      const int64_t before = weights.empty() ? 16 : weights.back().size(0);
      weights.push_back(store.weight(concat("layers.", weights.size(), ".weight"), {width, before}, before, 2.0));
    }
    weights.push_back(store.weight("shared.weight", {64, 64}, 64));
  }
  at::Tensor loss(int rank, int step) const {
    at::Tensor x = at::empty({9, 16});
    const RandomKey key = RandomKey(3).with(static_cast<uint64_t>(rank)).with(static_cast<uint64_t>(step));
    for (int64_t i = 0; i < x.numel(); ++i)
      x.data_ptr<float>()[i] = static_cast<float>(key.normal(static_cast<uint64_t>(i)));
    at::Tensor middle;
    for (size_t i = 0; i + 1 < weights.size(); ++i) {
      x = at::relu(at::linear(x, weights[i]));
      if (i == 2) x = at::linear(x, weights.back());
      if (i == 3) middle = x.square().sum();
    }
    return at::linear(x, weights.back()).square().sum() + 0.1 * middle;
  }
};

TEST(ReducerAgainstC10d, GradientsAreTheSameOverSeveralSteps) {
  if (communicator().size() == 1) GTEST_SKIP() << "c10d reduces nothing in a world of one";
  Net ours, theirs;
  Arena arena(ours.store);
  Reducer reducer(arena, communicator(), {.bucket_bytes = 8192, .first_bucket_bytes = 1024, .last_bucket_bytes = 1024});
  EXPECT_GT(reducer.num_buckets(), 3u);
  C10dReducer oracle(theirs.weights, communicator(), 8192, 1024);
  for (int step = 0; step < 4; ++step) {
    arena.begin_update();
    const at::Tensor loss = ours.loss(communicator().rank(), step);
    reducer.arm();
    loss.backward();
    reducer.finish();

    oracle.before_forward();
    const at::Tensor same = theirs.loss(communicator().rank(), step);
    EXPECT_EQ(same.item<float>(), loss.item<float>());
    oracle.before_backward();
    same.backward();
    for (size_t i = 0; i < ours.weights.size(); ++i) {
      const at::Tensor expected = theirs.weights[i].grad() * communicator().size();
      const double scale = expected.norm().item<double>();
      EXPECT_GT(scale, 0) << i;
      EXPECT_LE((ours.weights[i].grad() - expected).norm().item<double>(), 1e-6 * scale) << "layer " << i;
      theirs.weights[i].mutable_grad().zero_();
    }
  }
}

}  // namespace
}  // namespace rehearse
