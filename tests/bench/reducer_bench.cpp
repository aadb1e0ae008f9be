// Time of a step's backward with gradients summed in four ways, side by side in one run:
//   mpirun -n 2 build/bin/reducer_bench [--rounds N] [--seconds S] [--json FILE]
// alone: no communication. plain: one all-reduce of everything after backward. bucketed: our Reducer. c10d: PyTorch's,
// over the same communicator. Each round runs all four once; medians over rounds and their ratios are printed.
#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "models/acoustic_model.h"
#include "models/ops/ctc_loss.h"
#include "models/torch_prelude.h"
#include "tests/support/c10d_oracle.h"
#include "trainer/base/random.h"
#include "trainer/comm/world.h"
#include "trainer/engine/exchange/reducer.h"
#include "trainer/engine/update/arena.h"

namespace rehearse {
namespace {

constexpr int64_t kFeatures = 80, kClasses = 40, kBatch = 8;
constexpr double kFramesPerSecond = 100;

struct Size {
  const char* name;
  int64_t channels;
  int blocks;
};
constexpr Size kSizes[] = {{"small", 192, 6}, {"medium", 384, 12}, {"large", 512, 20}};
constexpr const char* kWays[] = {"alone", "plain", "bucketed", "c10d"};

std::string blocks_of(const Size& size) {
  std::string yaml = concat("blocks:\n  - {type: subsample, channels: ", size.channels, ", factor: 4}\n");
  for (int i = 0; i < size.blocks; ++i)
    yaml += concat("  - {type: separable, channels: ", size.channels, ", kernel: 13}\n");
  return yaml;
}

// A model and one micro-batch of random features.
struct Work {
  Config config;
  AcousticModel model;
  at::Tensor x;
  std::vector<int64_t> lengths;
  std::vector<uint64_t> ids;
  std::vector<std::vector<int32_t>> targets;

  Work(const Size& size, double seconds, int rank)
      : config(Config::parse(blocks_of(size))),
        model(config.root(), {kFeatures, kClasses, 1, at::TensorOptions().dtype(at::kFloat), {}}) {
    const auto frames = static_cast<int64_t>(seconds / kBatch * kFramesPerSecond);
    at::manual_seed(static_cast<uint64_t>(rank) + 1);
    x = at::randn({kBatch, frames, kFeatures});
    for (int64_t i = 0; i < kBatch; ++i) {
      lengths.push_back(frames);
      ids.push_back(static_cast<uint64_t>(i));
      targets.emplace_back();
      for (int64_t t = 0; t < 30; ++t) targets.back().push_back(static_cast<int32_t>((t * 7 + i) % (kClasses - 1)));
    }
  }
  at::Tensor loss() {
    const Sequence logits = model.forward({x, lengths}, {true, 1, 0, ids});
    return ctc_loss(logits.x, logits.lengths, targets, model.blank(), std::vector<double>(kBatch, 1.0)).sum;
  }
};

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

class Bench {
 public:
  Bench(const Size& size, double seconds, Communicator& communicator)
      : communicator_(communicator),
        ours_(size, seconds, communicator.rank()),
        theirs_(size, seconds, communicator.rank()),
        arena_(ours_.model.store()),
        reducer_(arena_, communicator,
                 {.bucket_bytes = 1 << 20, .first_bucket_bytes = 256 << 10, .last_bucket_bytes = 256 << 10}) {
    std::vector<at::Tensor> parameters;
    for (const Parameter& parameter : theirs_.model.store().parameters()) parameters.push_back(parameter.tensor);
    c10d_ = std::make_unique<C10dReducer>(parameters, communicator, 25 << 20, 1 << 20);  // DDP's own sizes
  }
  int64_t num_parameters() const { return arena_.num_parameters(); }

  // Seconds of the slowest rank, forward to reduced gradient.
  double time(const std::string& way) {
    communicator_.barrier("barrier (bench)");
    const double start = now_s();
    if (way == "c10d") {
      c10d_->before_forward();
      const at::Tensor loss = theirs_.loss();
      c10d_->before_backward();
      loss.backward();
    } else {
      arena_.begin_update();
      const at::Tensor loss = ours_.loss();
      if (way == "bucketed") reducer_.arm();
      loss.backward();
      if (way == "bucketed") reducer_.finish();
      if (way == "plain")
        communicator_
            .all_reduce_sum(
                std::span(arena_.gradients().data_ptr<float>(), static_cast<size_t>(arena_.gradients().numel())),
                "all_reduce (everything)")
            .get();
    }
    const double own = now_s() - start;
    const auto all = gather_values(communicator_, own, "all_gather (times)");
    return *std::max_element(all.begin(), all.end());
  }

 private:
  Communicator& communicator_;
  Work ours_, theirs_;
  Arena arena_;
  Reducer reducer_;
  std::unique_ptr<C10dReducer> c10d_;
};

nlohmann::json run_size(const Size& size, double seconds, int rounds, Communicator& communicator) {
  Bench bench(size, seconds, communicator);
  std::map<std::string, std::vector<double>> times;
  std::vector<double> to_plain, hidden;
  for (int round = -2; round < rounds; ++round) {  // two to warm up
    std::map<std::string, double> one;
    for (size_t i = 0; i < 4; ++i) {
      const char* way = kWays[(i + static_cast<size_t>(round + 2)) % 4];  // another one first in each round
      one[way] = bench.time(way);
    }
    if (round < 0) continue;
    for (const auto& [way, s] : one) times[way].push_back(s);
    to_plain.push_back(one["bucketed"] / one["plain"]);
  }
  nlohmann::json row = {{"model", size.name},
                        {"parameters", bench.num_parameters()},
                        {"ranks", communicator.size()},
                        {"audio_s_per_rank", seconds},
                        {"rounds", rounds}};
  for (const auto& [way, list] : times) row["ms"][way] = median(list) * 1000;
  row["bucketed_to_plain"] = {median(to_plain), *std::min_element(to_plain.begin(), to_plain.end()),
                              *std::max_element(to_plain.begin(), to_plain.end())};
  const double communication = row["ms"]["plain"].get<double>() - row["ms"]["alone"].get<double>();
  const double exposed = row["ms"]["bucketed"].get<double>() - row["ms"]["alone"].get<double>();
  const double exposed_c10d = row["ms"]["c10d"].get<double>() - row["ms"]["alone"].get<double>();
  row["hidden_share"] = communication > 0 ? 1 - exposed / communication : 0;
  row["hidden_share_c10d"] = communication > 0 ? 1 - exposed_c10d / communication : 0;
  return row;
}

int run(int argc, char** argv) {
  int rounds = 15;
  double seconds = 24;
  std::string json_path;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (!std::strcmp(argv[i], "--rounds")) rounds = std::atoi(argv[i + 1]);
    if (!std::strcmp(argv[i], "--seconds")) seconds = std::atof(argv[i + 1]);
    if (!std::strcmp(argv[i], "--json")) json_path = argv[i + 1];
  }
  World world;
  at::set_num_threads(1);
  CommOptions options;
  options.on_failure = [](const std::string& message) {
    std::cerr << message + "\n" << std::flush;
    std::_Exit(4);
  };
  const auto communicator = make_communicator(world, options);
  nlohmann::json rows = nlohmann::json::array();
  for (const Size& size : kSizes) {
    rows.push_back(run_size(size, seconds, rounds, *communicator));
    if (world.rank() == 0) std::cout << rows.back().dump() << std::endl;
  }
  if (world.rank() == 0 && !json_path.empty()) std::ofstream(json_path) << rows.dump(1) << "\n";
  communicator->finish();
  world.finish();
  return 0;
}

}  // namespace
}  // namespace rehearse

int main(int argc, char** argv) {
  return rehearse::run(argc, argv);
}
