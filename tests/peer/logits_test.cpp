// The logits of a checkpoint equal those of the independent PyTorch program in experiments/benchmarks/peers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <iostream>

#include "tests/data/text/text_support.h"
#include "tests/support/process.h"
#include "tests/support/toy_run.h"
#include "trainer/base/random.h"
#include "trainer/base/safetensors.h"

namespace rehearse {
namespace {

constexpr const char* kPython = REHEARSE_SOURCE_DIR "/.deps/python/bin/python";
constexpr const char* kPeer = REHEARSE_SOURCE_DIR "/experiments/benchmarks/peers/logits.py";

std::vector<float> values_of(const TensorView& view) {
  std::vector<float> values(view.bytes.size() / sizeof(float));
  std::memcpy(values.data(), view.bytes.data(), view.bytes.size());
  return values;
}

bool has_peer() {
  if (!std::filesystem::exists(kPython)) return false;
  return run_process({kPython, "-c", "import torch, safetensors.torch, soundfile, soxr, yaml, numpy"}).exit_code == 0;
}

// Pure tones leave bands that hold nothing but the rounding of the transform, whose logarithm no two programs share.
std::vector<float> with_noise(std::vector<float> samples) {
  for (size_t i = 0; i < samples.size(); ++i)
    samples[i] += 0.01f * (static_cast<float>(RandomKey(5).uniform(i)) - 0.5f);
  return samples;
}

// Every difference is at most 1e-5 of the largest logit of the file: both compute in float32, in another order.
TEST(PeerLogits, EqualOursToOneInAHundredThousand) {
  if (!has_peer()) {
    std::cout << "the Python set of the peer is not installed (launch/setup.sh --peer): logits were NOT compared\n";
    GTEST_SKIP() << "no peer";
  }
  const TemporaryFolder folder("peer");
  const auto path = [&](const std::string& name) { return (folder.path() / name).string(); };
  write_wav(path("a.wav"), with_noise(toy_audio("abcd dcba bb")));
  write_wav(path("b.wav"), with_noise(toy_audio("c a", 0.05f)));
  const ProcessResult ours = run_rehearse({"transcribe", (toy_folder() / "run").string(), "--step", "160",
                                           path("a.wav"), path("b.wav"), "--logits", path("ours.safetensors")});
  ASSERT_EQ(ours.exit_code, 0) << ours.err;
  const ProcessResult peer = run_process({kPython, kPeer, (toy_folder() / "run/checkpoints/step-00000160").string(),
                                          path("a.wav"), path("b.wav"), "--out", path("peer.safetensors")});
  ASSERT_EQ(peer.exit_code, 0) << peer.err;
  const Safetensors a = Safetensors::read(path("ours.safetensors")), b = Safetensors::read(path("peer.safetensors"));
  for (const char* name : {"a.wav", "b.wav"}) {
    ASSERT_EQ(a.at(name).shape, b.at(name).shape);
    const std::vector<float> x = values_of(a.at(name)), y = values_of(b.at(name));
    double largest = 0, difference = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      largest = std::max(largest, static_cast<double>(std::abs(y[i])));
      difference = std::max(difference, static_cast<double>(std::abs(x[i] - y[i])));
    }
    std::cout << name << ": largest logit " << largest << ", largest difference " << difference << "\n";
    EXPECT_GT(largest, 1) << "the model has learned something";
    EXPECT_LE(difference, 1e-5 * largest) << name;
  }
}

}  // namespace
}  // namespace rehearse
