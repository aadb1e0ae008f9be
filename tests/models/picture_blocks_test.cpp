// The blocks that see frames as rows of a picture.
#include "tests/models/tensor_support.h"

namespace rehearse {
namespace {

using namespace testing_support;

constexpr const char* kPublishedNet = R"(
blocks:
  - {type: conv2d, width: 96, channels: 32, kernel: 3, norm: none}
  - {type: max_pool2d, width: 94}
  - {type: conv2d, width: 47, channels: 64, kernel: 2, norm: none}
  - {type: max_pool2d, width: 46}
  - {type: conv2d, width: 23, channels: 128, kernel: 2, norm: none}
  - {type: max_pool2d, width: 22}
  - {type: dense, frames: 11, units: 100, norm: none}
  - {type: dense, units: 100, norm: none}
)";

struct Shape {
  int64_t rows, values, parameters;
};

TEST(PictureBlocks, ExpressThePublishedKeypointNetwork) {
  const Shape kExpected[] = {{94, 94 * 32, 320},     {47, 47 * 32, 0},  {46, 46 * 64, 8'256}, {23, 23 * 64, 0},
                             {22, 22 * 128, 32'896}, {11, 11 * 128, 0}, {1, 100, 1'548'900},  {1, 100, 10'100}};
  Config config = Config::parse(kPublishedNet);
  ParameterStore store(1, at::TensorOptions().dtype(at::kFloat));
  Sequence picture{noise({2, 96, 96}, 5, at::kFloat), {96, 96}};
  int64_t frames = 96, num_before = 0;
  uint64_t index = 0;
  for (ConfigNode& node : config.root().children("blocks")) {
    const Shape& expected = kExpected[index];
    Block::Context context{picture.x.size(2), concat("blocks.", index), index, &store, {}, node.where()};
    const std::unique_ptr<Block> block = Registry<Block>::instance().create(node, context);
    picture = block->forward(picture, training_context({1, 2}));
    frames = block->output_length(frames);
    int64_t num_parameters = 0;
    for (const Parameter& parameter : store.parameters()) num_parameters += parameter.tensor.numel();
    EXPECT_EQ(picture.x.sizes(), (std::vector<int64_t>{2, expected.rows, expected.values})) << index;
    EXPECT_EQ(picture.lengths, (std::vector<int64_t>{expected.rows, expected.rows})) << index;
    EXPECT_EQ(frames, expected.rows);
    EXPECT_EQ(block->output_channels(), expected.values);
    EXPECT_EQ(num_parameters - num_before, expected.parameters) << index;
    num_before = num_parameters;
    ++index;
  }
  EXPECT_EQ(index, std::size(kExpected));
  config.root().expect_all_read();
}

// Small pictures and large ones, which libtorch treats differently when they come alone. The gradient of the weights is
// one sum over the batch, which libtorch splits by the number of threads.
TEST(Conv2d, APictureHasTheSameBitsAloneInAnyBatchAndOnAnyNumberOfThreads) {
  for (const auto& [width, channels, kernel] : {std::tuple(24, 1, 3), {24, 1, 2}, {47, 32, 2}, {20, 3, 5}}) {
    const std::string line =
        concat("{type: conv2d, width: ", width, ", channels: 32, kernel: ", kernel, ", norm: none}");
    const Sequence batch{noise({9, width, width * channels}, 3, at::kFloat), std::vector<int64_t>(9, width)};
    const auto run = [&](int threads, int64_t begin, int64_t end) {
      at::set_num_threads(threads);
      BuiltBlock built(line, width * channels, at::kFloat);
      at::Tensor x = batch.x.slice(0, begin, end).clone().set_requires_grad(true);
      const std::vector<int64_t> lengths(static_cast<size_t>(end - begin), width);
      const at::Tensor y = built.block->forward({x, lengths}, {}).x;
      y.square().sum().backward();
      at::set_num_threads(1);
      return std::vector<at::Tensor>{y.detach(), x.grad(), built.store.parameters()[0].tensor.grad(),
                                     built.store.parameters()[1].tensor.grad()};
    };
    const auto whole = run(1, 0, 9);
    for (int threads : {2, 3}) {
      const auto threaded = run(threads, 0, 9);
      for (size_t i : {0, 1}) EXPECT_TRUE(whole[i].equal(threaded[i])) << line << ", result " << i;
      for (size_t i : {2, 3}) EXPECT_LE(difference(whole[i], threaded[i]), 1e-5 * largest(whole[i])) << line;
    }
    for (const auto& [begin, end] : {std::pair(0, 1), {4, 5}, {3, 7}})
      EXPECT_TRUE(whole[0].slice(0, begin, end).equal(run(1, begin, end)[0])) << line << ", from " << begin;
  }
}

TEST(Conv2d, InitialValuesFollowTheFanInOfAWindow) {
  BuiltBlock built("{type: conv2d, width: 2, channels: 40, kernel: 3, padding: same}", 16, at::kFloat);
  const Parameter& weight = built.store.parameters()[0];
  EXPECT_EQ(weight.name, "blocks.3.conv.weight");
  EXPECT_EQ(weight.tensor.sizes(), (std::vector<int64_t>{40, 3, 3, 8}));
  const double bound = std::sqrt(3.0 * 2 / 72);
  EXPECT_LE(largest(weight.tensor), bound);
  EXPECT_GE(largest(weight.tensor), 0.98 * bound);
}

// A batch whose pictures are all too low still reaches the parameters: every rank takes the same steps.
TEST(PictureBlocks, TooFewRowsGiveNoFramesAndGradientsOfZero) {
  for (const char* line : {"{type: conv2d, width: 4, norm: none}", "{type: conv2d, width: 4, kernel: 4, norm: batch}",
                           "{type: dense, frames: 3, norm: none}", "{type: max_pool2d, width: 4, size: 3}"}) {
    BuiltBlock built(line, 12, at::kFloat);
    at::Tensor x = noise({2, 2, 12}, 3, at::kFloat).set_requires_grad(true);
    const Sequence output = built.block->forward({x, {2, 2}}, training_context({1, 2}));
    EXPECT_EQ(output.lengths, (std::vector<int64_t>{0, 0})) << line;
    EXPECT_EQ(output.x.sizes(), (std::vector<int64_t>{2, 0, built.block->output_channels()})) << line;
    output.x.sum().backward();
    EXPECT_EQ(largest(x.grad()), 0) << line;
    for (const Parameter& parameter : built.store.parameters()) {
      ASSERT_TRUE(parameter.tensor.grad().defined()) << line << ": " << parameter.name;
      EXPECT_EQ(largest(parameter.tensor.grad()), 0) << line << ": " << parameter.name;
    }
  }
}

TEST(PictureBlocks, WhatDoesNotFitIsNamed) {
  const std::pair<const char*, const char*> kCases[] = {
      {"{type: conv2d, width: 5}", "width: expected a divisor of the 12 values of a frame; found 5"},
      {"{type: max_pool2d, width: 5}", "width: expected a divisor of the 12 values of a frame; found 5"},
      {"{type: conv2d, width: 4, kernel: 2, padding: same}",
       "kernel: expected an odd number with padding: same; found 2"},
      {"{type: conv2d, width: 2}", "kernel: expected at most the width, 2; found 3"},
      {"{type: max_pool2d, width: 2, size: 3}", "size: expected at most the width, 2; found 3"},
      {"{type: conv2d}", "width: "},
      {"{type: dense, activation: tanh}", "activation: "}};
  for (const auto& [line, message] : kCases) {
    try {
      BuiltBlock built(line, 12, at::kFloat);
      ADD_FAILURE() << "expected a ConfigError of " << line;
    } catch (const ConfigError& error) {
      EXPECT_NE(std::string(error.what()).find(message), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace rehearse
