// CTC loss and gradient from logits (Graves et al., ICML 2006) and greedy decoding. Three launches: log-sum-exp of
// every row; the lattice, two blocks per utterance, one forward and one backward in time; the gradient of every frame.
// State s of the lattice is a blank when even, else label (s − 1) / 2.
#include "models/kernels/cuda/launch.cuh"
#include "models/kernels/device_ctc.h"

namespace rehearse::cuda {
namespace {

// Minus infinity that survives subtraction.
constexpr double kNever = -1e30;
constexpr int kRowWarps = 8;
constexpr int kMostThreads = 1024;
constexpr int kGradientThreads = 128;

// The lattice is kept in double; only the correction term, below ln 3, is computed in float (its error is 1e-7 per
// frame and double transcendentals are 64 times slower on consumer GPUs).
__device__ double log_add(double a, double b, double c) {
  const double top = fmax(fmax(a, b), c);
  const float sum =
      expf(static_cast<float>(a - top)) + expf(static_cast<float>(b - top)) + expf(static_cast<float>(c - top));
  return top + static_cast<double>(logf(sum));
}

// ln Σ e^logit of one real row per warp.
__global__ void row_log_sum_kernel(DeviceCtc call) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kRowWarps + threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  if (row >= call.utterances * call.frames) return;
  if (row % call.frames >= call.utterance[row / call.frames].frames) return;
  const float* logits = call.logits + row * call.classes;
  float top = logits[0];
  bool has_nan = false;
  for (int64_t v = lane; v < call.classes; v += kWarp) {
    has_nan |= isnan(logits[v]);
    top = fmaxf(top, logits[v]);
  }
  top = warp_max(top);
  float sum = 0;
  for (int64_t v = lane; v < call.classes; v += kWarp) sum += expf(logits[v] - top);
  sum = warp_sum(sum);
  has_nan = __any_sync(kAllLanes, has_nan);  // fmaxf drops NaN
  if (lane == 0) call.row_log_sum[row] = has_nan ? nan("") : static_cast<double>(top) + log(static_cast<double>(sum));
}

// What one block of the lattice works on.
struct Path {
  const DeviceCtcUtterance& utterance;
  const int32_t* tokens;
  const float* logits;        // [T, V]
  const double* row_log_sum;  // [T]
  int64_t classes;
  int32_t blank;
  int states;

  __device__ Path(const DeviceCtc& call, int64_t b)
      : utterance(call.utterance[b]),
        tokens(call.tokens + utterance.tokens),
        logits(call.logits + b * call.frames * call.classes),
        row_log_sum(call.row_log_sum + b * call.frames),
        classes(call.classes),
        blank(call.blank),
        states(2 * utterance.num_labels + 1) {}
  __device__ double emission(int t, int s) const {
    const int32_t token = s % 2 == 0 ? blank : tokens[s / 2];
    return static_cast<double>(logits[t * classes + token]) - row_log_sum[t];
  }
  // True where state s may follow state s − 2.
  __device__ bool skips_to(int s) const { return s % 2 == 1 && s >= 3 && tokens[s / 2] != tokens[s / 2 - 1]; }
};

// alpha[t][s], emission included (eq. 6). `rows` holds the last two rows, in shared memory or behind the lattice.
__device__ void walk_forward(const Path& path, double* alpha, int64_t row_size, double* rows) {
  for (int t = 0; t < path.utterance.frames; ++t) {
    const double* from = rows + (t + 1) % 2 * path.states;
    double* to = rows + t % 2 * path.states;
    for (int s = threadIdx.x; s < path.states; s += blockDim.x) {
      const double emission = path.emission(t, s);
      double reached = s <= 1 ? 0.0 : kNever;
      if (t > 0) reached = log_add(from[s], s >= 1 ? from[s - 1] : kNever, path.skips_to(s) ? from[s - 2] : kNever);
      to[s] = reached + emission;
      alpha[t * row_size + s] = reached + emission;
    }
    __syncthreads();
  }
}

// beta[t][s] without frame t's emission; `rows` holds beta plus emission.
__device__ void walk_backward(const Path& path, double* beta, int64_t row_size, double* rows) {
  const int last = path.utterance.frames - 1;
  for (int t = last; t >= 0; --t) {
    const double* from = rows + (t + 1) % 2 * path.states;
    double* to = rows + t % 2 * path.states;
    for (int s = threadIdx.x; s < path.states; s += blockDim.x) {
      const double emission = path.emission(t, s);
      double left = s >= path.states - 2 ? 0.0 : kNever;
      if (t < last)
        left = log_add(from[s], s + 1 < path.states ? from[s + 1] : kNever,
                       s + 2 < path.states && path.skips_to(s + 2) ? from[s + 2] : kNever);
      to[s] = left + emission;
      beta[t * row_size + s] = left;
    }
    __syncthreads();
  }
}

// Block (b, 0) walks forward and writes the loss, block (b, 1) walks backward.
__global__ void __launch_bounds__(kMostThreads) lattice_kernel(DeviceCtc call) {
  extern __shared__ double shared[];
  const int64_t b = blockIdx.x;
  const Path path(call, b);
  if (path.utterance.frames == 0) {
    if (blockIdx.y == 0 && threadIdx.x == 0) call.losses[b] = 0;
    return;
  }
  double* rows = call.rows ? call.rows + (b * 2 + blockIdx.y) * 2 * call.states : shared;
  const int64_t offset = b * call.frames * call.states;
  if (blockIdx.y == 1) {
    walk_backward(path, call.beta + offset, call.states, rows);
    return;
  }
  walk_forward(path, call.alpha + offset, call.states, rows);
  // A diverged model must not look healthy.
  bool is_broken = false;
  for (int t = threadIdx.x; t < path.utterance.frames; t += blockDim.x) is_broken |= !isfinite(path.row_log_sum[t]);
  is_broken = __syncthreads_or(is_broken);
  if (threadIdx.x != 0) return;
  const double* end = rows + (path.utterance.frames - 1) % 2 * path.states;
  const double before = path.states > 1 ? end[path.states - 2] : kNever;
  call.losses[b] = is_broken ? nan("") : -log_add(end[path.states - 1], before, kNever);
}

// One frame: weight · (softmax − Σ posteriors of the states of each class). Every element has one writer at a time.
__global__ void gradient_kernel(DeviceCtc call) {
  const int64_t t = blockIdx.x;
  const int64_t b = blockIdx.y;
  const DeviceCtcUtterance& utterance = call.utterance[b];
  const int64_t row = b * call.frames + t;
  float* gradient = call.gradient + row * call.classes;
  const double loss = call.losses[b];
  const bool is_real = t < utterance.frames;
  if (!is_real || isnan(loss)) {
    const float fill = is_real ? nanf("") : 0.0f;
    for (int64_t v = threadIdx.x; v < call.classes; v += blockDim.x) gradient[v] = fill;
    return;
  }
  const float* logits = call.logits + row * call.classes;
  const double log_sum = call.row_log_sum[row];
  for (int64_t v = threadIdx.x; v < call.classes; v += blockDim.x)
    gradient[v] = utterance.weight * expf(static_cast<float>(static_cast<double>(logits[v]) - log_sum));
  __syncthreads();

  const double* alpha = call.alpha + row * call.states;
  const double* beta = call.beta + row * call.states;
  const auto posterior = [&](int s) { return expf(static_cast<float>(alpha[s] + beta[s] + loss)); };
  if (threadIdx.x < kWarp) {
    float sum = 0;
    for (int i = threadIdx.x; i <= utterance.num_labels; i += kWarp) sum += posterior(2 * i);
    sum = warp_sum(sum);
    if (threadIdx.x == 0) gradient[call.blank] -= utterance.weight * sum;
  }
  const int32_t* order = call.order + utterance.tokens;
  const int32_t* bounds = call.groups + utterance.groups;
  for (int g = threadIdx.x; g < utterance.num_groups; g += blockDim.x) {
    float sum = 0;
    for (int i = bounds[g]; i < bounds[g + 1]; ++i) sum += posterior(2 * order[i] + 1);
    gradient[call.tokens[utterance.tokens + order[bounds[g]]]] -= utterance.weight * sum;
  }
}

// One warp per row; of equal values the lowest class wins.
__global__ void argmax_kernel(const float* logits, int64_t rows, int64_t classes, int32_t* best) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kRowWarps + threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  if (row >= rows) return;
  const float* from = logits + row * classes;
  int32_t place = min(lane, static_cast<int>(classes - 1));
  float top = from[place];
  for (int64_t v = lane + kWarp; v < classes; v += kWarp) {
    if (from[v] > top) {
      top = from[v];
      place = static_cast<int32_t>(v);
    }
  }
  for (int step = kWarp / 2; step > 0; step /= 2) {
    const float other = __shfl_xor_sync(kAllLanes, top, step);
    const int32_t other_place = __shfl_xor_sync(kAllLanes, place, step);
    if (other > top || (other == top && other_place < place)) {
      top = other;
      place = other_place;
    }
  }
  if (lane == 0) best[row] = place;
}

void ctc(const DeviceCtc& call) {
  if (call.utterances == 0 || call.frames == 0) {
    if (call.utterances > 0)
      expect_success(cudaMemsetAsync(call.losses, 0, call.utterances * sizeof(double), stream_of(call.stream)),
                     "clearing losses");
    return;
  }
  const cudaStream_t stream = stream_of(call.stream);
  row_log_sum_kernel<<<blocks_for(call.utterances * call.frames, kRowWarps), kRowWarps * kWarp, 0, stream>>>(call);
  expect_launched("ctc log-sum-exp");

  const size_t shared_bytes = call.rows ? 0 : 2 * call.states * sizeof(double);
  const auto threads =
      static_cast<unsigned>(std::min<int64_t>(kMostThreads, (call.states + kWarp - 1) / kWarp * kWarp));
  const dim3 walks(static_cast<unsigned>(call.utterances), 2);
  lattice_kernel<<<walks, threads, shared_bytes, stream>>>(call);
  expect_launched("ctc lattice");

  const dim3 grid(static_cast<unsigned>(call.frames), static_cast<unsigned>(call.utterances));
  gradient_kernel<<<grid, kGradientThreads, 0, stream>>>(call);
  expect_launched("ctc gradient");
}

void argmax(const float* logits, int64_t rows, int64_t classes, int32_t* best, void* stream) {
  if (rows == 0) return;
  argmax_kernel<<<blocks_for(rows, kRowWarps), kRowWarps * kWarp, 0, stream_of(stream)>>>(logits, rows, classes, best);
  expect_launched("argmax");
}

REHEARSE_ON_DEVICE(CtcOnDevice, ctc);
REHEARSE_ON_DEVICE(ArgmaxOnDevice, argmax);

}  // namespace
}  // namespace rehearse::cuda
