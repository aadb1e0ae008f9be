#include "trainer/engine/update/arena.h"

#include <gtest/gtest.h>

#include <cstdint>

#include "models/torch_prelude.h"
#include "tests/support/fake_communicator.h"
#include "trainer/engine/exchange/reducer.h"

namespace rehearse {
namespace {

// Three tensors of awkward sizes and a buffer.
struct SmallStore {
  ParameterStore store;
  at::Tensor weight, bias, unused, running;
  explicit SmallStore(at::ScalarType type = at::kFloat) : store(5, at::TensorOptions().dtype(type)) {
    weight = store.weight("weight", {5, 7}, 7);
    bias = store.constant("bias", {5}, 0.25);
    unused = store.constant("unused", {3}, 1);
    running = store.buffer("running", {4}, 2).tensor;
  }
  at::Tensor loss(double factor = 1) const {
    const at::Tensor x = at::arange(7, weight.options().requires_grad(false)).mul(0.1 * factor);
    return (at::mv(weight, x) + bias).square().sum();
  }
};

const Segment& segment_of(const Arena& arena, const std::string& name) {
  for (const Segment& segment : arena.segments())
    if (segment.name == name) return segment;
  throw std::runtime_error("no segment " + name);
}

at::Tensor slice_of(const at::Tensor& flat, const Segment& segment) {
  return flat.slice(0, static_cast<int64_t>(segment.offset), static_cast<int64_t>(segment.offset + segment.length));
}

TEST(Arena, ContentsArePreservedAndTheBlocksHandlesBecomeViews) {
  SmallStore small;
  const at::Tensor before = small.weight.detach().clone(), running = small.running.clone();
  Arena arena(small.store);
  EXPECT_TRUE(at::equal(small.weight, before));
  EXPECT_TRUE(at::equal(small.running, running));
  const Segment& segment = segment_of(arena, "weight");
  slice_of(arena.parameters(), segment).fill_(3);
  EXPECT_EQ(small.weight.min().item<float>(), 3);
  EXPECT_EQ(small.bias.max().item<float>(), 0.25f) << "neighbours are untouched";
  arena.buffers().fill_(9);
  EXPECT_EQ(small.running.min().item<float>(), 9);
  small.running.fill_(4);
  EXPECT_EQ(arena.buffers()[0].item<float>(), 4);
}

TEST(Arena, SegmentsAreAlignedOrderedAndDoNotOverlap) {
  for (at::ScalarType type : {at::kFloat, at::kDouble}) {
    SmallStore small(type);
    Arena arena(small.store);
    const size_t size = arena.parameters().element_size();
    size_t end = 0;
    for (const Segment& segment : arena.segments()) {
      EXPECT_EQ(segment.offset * size % 64, 0u) << segment.name;
      EXPECT_GE(segment.offset, end) << segment.name;
      end = segment.offset + segment.length;
    }
    EXPECT_LE(end, arena.num_elements());
    EXPECT_EQ(arena.num_elements() * size % 64, 0u);
    EXPECT_EQ(arena.gradients().numel(), static_cast<int64_t>(arena.num_elements() + Arena::kTail));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(arena.parameters().data_ptr()) % 64, 0u);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(arena.gradients().data_ptr()) % 64, 0u);
    EXPECT_EQ(arena.segments().front().name, "unused") << "gradients of what was created last are ready first";
    EXPECT_EQ(arena.num_parameters(), 35 + 5 + 3);
  }
}

TEST(Arena, BiasesAndNormsAreNotDecayed) {
  SmallStore small;
  Arena arena(small.store);
  EXPECT_TRUE(segment_of(arena, "weight").is_decayed);
  EXPECT_FALSE(segment_of(arena, "bias").is_decayed);
}

TEST(Arena, BackwardAccumulatesIntoTheFlatBuffer) {
  SmallStore plain, small;
  plain.loss().backward();
  Arena arena(small.store);
  arena.begin_update();
  small.loss().backward();
  EXPECT_TRUE(at::equal(slice_of(arena.gradients(), segment_of(arena, "weight")).view({5, 7}), plain.weight.grad()));
  small.loss().backward();
  EXPECT_TRUE(at::allclose(slice_of(arena.gradients(), segment_of(arena, "bias")), 2 * plain.bias.grad()));
  EXPECT_EQ(slice_of(arena.gradients(), segment_of(arena, "unused")).abs().max().item<float>(), 0);
  EXPECT_EQ(arena.gradients().slice(0, static_cast<int64_t>(arena.num_elements())).abs().max().item<float>(), 0)
      << "the tail is nobody's gradient";
  arena.begin_update();
  EXPECT_EQ(small.weight.grad().abs().max().item<float>(), 0);
}

TEST(Arena, ReorderingMovesValuesGradientsAndTailAndKeepsTheHandles) {
  SmallStore small;
  Arena arena(small.store);
  small.loss().backward();
  const at::Tensor weight = small.weight.detach().clone(), gradient = small.weight.grad().clone();
  arena.gradients()[static_cast<int64_t>(arena.num_elements()) + 2] = 5;
  const size_t elements = arena.num_elements();
  arena.reorder({2, 0, 1});
  EXPECT_EQ(arena.names(), (std::vector<std::string>{"weight", "unused", "bias"}));
  EXPECT_EQ(arena.num_elements(), elements);
  EXPECT_TRUE(at::equal(small.weight, weight));
  EXPECT_TRUE(at::equal(small.weight.grad(), gradient));
  EXPECT_EQ(arena.gradients()[static_cast<int64_t>(elements) + 2].item<float>(), 5);
  slice_of(arena.parameters(), segment_of(arena, "weight")).fill_(3);
  EXPECT_EQ(small.weight.min().item<float>(), 3);
  arena.begin_update();
  small.loss().backward();
  EXPECT_GT(slice_of(arena.gradients(), segment_of(arena, "weight")).abs().max().item<float>(), 0);
}

TEST(Arena, AnOrderOfAnotherModelIsRefused) {
  SmallStore small;
  Arena arena(small.store);
  arena.reorder({"bias", "weight", "unused"}, "state.json");
  EXPECT_EQ(arena.names().front(), "bias");
  EXPECT_THROW(arena.reorder({"bias", "weight"}, "state.json"), DataError);
  EXPECT_THROW(arena.reorder({"bias", "weight", "other"}, "state.json"), DataError);
  EXPECT_THROW(arena.reorder({"bias", "bias", "weight"}, "state.json"), DataError);
}

class ReducerTest : public ::testing::Test {
 protected:
  void run(Communicator& communicator, size_t bucket_bytes, int micro_batches) {
    arena_ = std::make_unique<Arena>(small_.store);
    reducer_ = std::make_unique<Reducer>(*arena_, communicator, Reducer::Options{.bucket_bytes = bucket_bytes});
    for (int round = 0; round < 2; ++round) {  // twice: arm() starts afresh
      arena_->begin_update();
      for (int i = 0; i < micro_batches; ++i) {
        const at::Tensor loss = small_.loss(1 + i);
        if (i + 1 == micro_batches) reducer_->arm();
        loss.backward();
      }
      arena_->gradients()[static_cast<int64_t>(arena_->num_elements())] = 7;
      reducer_->finish();
    }
  }
  at::Tensor expected(int micro_batches, const at::Tensor SmallStore::*which) {
    SmallStore plain;
    for (int i = 0; i < micro_batches; ++i) plain.loss(1 + i).backward();
    return (plain.*which).grad();
  }
  float tail() const { return arena_->gradients()[static_cast<int64_t>(arena_->num_elements())].item<float>(); }

  SmallStore small_;
  std::unique_ptr<Arena> arena_;
  std::unique_ptr<Reducer> reducer_;
};

TEST_F(ReducerTest, InAWorldOfOneGradientsStayAsTheyAre) {
  FakeCommunicator lone(1);
  run(lone, 64, 1);
  EXPECT_TRUE(at::equal(small_.weight.grad(), expected(1, &SmallStore::weight)));
  EXPECT_EQ(tail(), 7);
}

TEST_F(ReducerTest, SeveralMicroBatchesAreAddedOnceThenReducedOnce) {
  FakeCommunicator three(3);
  run(three, 64, 4);
  EXPECT_TRUE(at::allclose(small_.weight.grad(), 3 * expected(4, &SmallStore::weight), 1e-5));
  EXPECT_TRUE(at::allclose(small_.bias.grad(), 3 * expected(4, &SmallStore::bias), 1e-5));
  EXPECT_EQ(tail(), 21);
}

TEST_F(ReducerTest, BucketsGoOutInOrderEvenWhenTheFirstIsNeverReady) {
  FakeCommunicator two(2);
  run(two, 1, 2);  // every segment is a bucket; the first one, "unused", gets no gradient
  EXPECT_EQ(reducer_->num_buckets(), 3u);
  ASSERT_EQ(two.calls.size(), 6u);
  for (size_t i = 0; i < 6; ++i)
    EXPECT_NE(two.calls[i].find(concat("bucket ", i % 3, " of 3")), std::string::npos) << two.calls[i];
}

TEST_F(ReducerTest, BigBucketsHoldEverything) {
  FakeCommunicator two(2);
  run(two, 1 << 20, 1);
  EXPECT_EQ(reducer_->num_buckets(), 1u);
  EXPECT_EQ(two.calls.size(), 2u);
  EXPECT_TRUE(at::allclose(small_.weight.grad(), 2 * expected(1, &SmallStore::weight)));
}

TEST_F(ReducerTest, DoublesAreReducedAsDoubles) {
  SmallStore small(at::kDouble), plain(at::kDouble);
  plain.loss().backward();
  Arena arena(small.store);
  FakeCommunicator two(2);
  Reducer reducer(arena, two, {.bucket_bytes = 64});
  arena.begin_update();
  reducer.arm();
  small.loss().backward();
  reducer.finish();
  EXPECT_TRUE(at::equal(small.weight.grad(), 2 * plain.weight.grad()));
}

TEST_F(ReducerTest, TheOrderOfGradientsIsThatOfTheBackwardPass) {
  FakeCommunicator two(2);
  run(two, 64, 1);
  const std::vector<size_t> order = reducer_->ready_order();
  ASSERT_EQ(order.size(), 3u);
  EXPECT_EQ(arena_->segments()[order[0]].name, "bias") << "the addition comes last, so its gradient comes first";
  EXPECT_EQ(arena_->segments()[order[1]].name, "weight");
  EXPECT_EQ(arena_->segments()[order[2]].name, "unused") << "what never came is last";
}

TEST_F(ReducerTest, AFrozenParameterHoldsUpNoBucket) {
  FakeCommunicator two(2);
  arena_ = std::make_unique<Arena>(small_.store);
  arena_->segments()[0].is_frozen = true;
  arena_->tensor(0).set_requires_grad(false);  // "unused"
  Reducer reducer(*arena_, two, {.bucket_bytes = 1});
  reducer.arm();
  small_.loss().backward();
  EXPECT_GE(two.calls.size(), 1u) << "the second bucket went out inside backward";
  reducer.finish();
  EXPECT_EQ(two.calls.size(), 3u);
}

TEST_F(ReducerTest, FirstAndLastBucketHaveTheirOwnSizes) {
  SmallStore small;
  for (int i = 0; i < 10; ++i) small.store.constant(concat("more.", i), {16}, 1);
  Arena arena(small.store);  // ten of 64 bytes, then unused, bias and weight: 64, 64, 192
  FakeCommunicator two(2);
  const auto sizes = [&](const Reducer::Options& options) {
    Reducer reducer(arena, two, options);
    two.calls.clear();
    reducer.arm();
    reducer.finish();
    return two.calls.size();
  };
  EXPECT_EQ(sizes({.bucket_bytes = 1 << 20}), 1u);
  EXPECT_EQ(sizes({.bucket_bytes = 1 << 20, .first_bucket_bytes = 64}), 2u);
  EXPECT_EQ(sizes({.bucket_bytes = 1 << 20, .first_bucket_bytes = 64, .last_bucket_bytes = 256}), 3u);
  EXPECT_EQ(sizes({.bucket_bytes = 256, .first_bucket_bytes = 64, .last_bucket_bytes = 64}), 5u);
}

TEST_F(ReducerTest, RoundedGradientsKeepEightBitsAndTheTailAllOfThem) {
  SmallStore plain;
  plain.loss(1).backward();
  FakeCommunicator two(2);
  arena_ = std::make_unique<Arena>(small_.store);
  Reducer reducer(*arena_, two, {.bucket_bytes = 64, .as_bfloat16 = true});
  reducer.arm();
  small_.loss(1).backward();
  const float exact = 16777215;  // does not fit into bfloat16
  arena_->gradients()[static_cast<int64_t>(arena_->num_elements())] = exact;
  reducer.finish();
  EXPECT_TRUE(at::allclose(small_.weight.grad(), 2 * plain.weight.grad(), 1.0 / 128));
  EXPECT_FALSE(at::equal(small_.weight.grad(), 2 * plain.weight.grad())) << "they were rounded";
  EXPECT_EQ(arena_->gradients()[static_cast<int64_t>(arena_->num_elements())].item<float>(), 2 * exact);
}

TEST_F(ReducerTest, FinishWithoutArmIsABug) {
  Arena arena(small_.store);
  FakeCommunicator two(2);
  Reducer reducer(arena, two, {.bucket_bytes = 64});
  EXPECT_THROW(reducer.finish(), BugError);
}

}  // namespace
}  // namespace rehearse
