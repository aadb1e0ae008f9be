// Our kernels on a device, as a table that the CUDA plug-in fills in: models compile and run without CUDA. Float only.
#pragma once

#include <cstdint>

#include "models/kernels/depthwise.h"
#include "models/kernels/frame_ops.h"

namespace rehearse {

// Pointers are device memory unless they say host; a stream is a cudaStream_t. Calls only enqueue work; a refused
// launch throws CommError. No atomics: sums run in an order that depends on the shapes alone, so results are
// bit-stable.

// What a batch [B, T, C] says about its utterances. Frames at or beyond a length are neither read nor given a gradient,
// and are zero in every result.
struct DeviceBatch {
  int64_t utterances = 0;            // B
  int64_t frames = 0;                // T
  int64_t channels = 0;              // C
  const int64_t* lengths = nullptr;  // host [B]
  const Dropout* dropout = nullptr;  // host [B], or null for none
  Activation activation = Activation::kNone;
  void* stream = nullptr;
};

struct DeviceDepthwise {
  DepthwiseShape shape;
  int64_t utterances = 0;
  int64_t frames = 0;                // T of x
  const int64_t* lengths = nullptr;  // host [B], of x
  void* stream = nullptr;
};

// The definition is LayerNormRows.
struct DeviceLayerNorm {
  const float* x;
  const float* bias;  // may be null
  const float* weight;
  const float* shift;
  float* mean;  // [B, T]
  float* rstd;  // [B, T]
  double epsilon;
};
struct DeviceLayerNormGradients {
  const float* dy;
  float* dx;
  float* sums;      // [3, C]: of weight, shift and bias
  float* partials;  // [num_partials, 3, C] scratch
};

// The definition is GatedRows.
struct DeviceGate {
  const float* x;
  const float* gate;      // [B, C] or null
  const float* residual;  // [B, T, C] or null
};
struct DeviceGateGradients {
  const float* dy;
  float* dx;
  float* dresidual;  // may be null
  float* dgate;      // [B, C] or null
  float* partials;   // [B, pieces_per_utterance, C] scratch, null without dgate
};

// One utterance of a CTC batch. Tokens with the same number are one group, so that a gradient has one writer.
struct DeviceCtcUtterance {
  int32_t frames = 0;  // 0: left out (weight 0 or infeasible)
  int32_t num_labels = 0;
  int32_t num_groups = 0;
  int32_t tokens = 0;  // where its tokens begin; as many places into `order`
  int32_t groups = 0;  // where its num_groups + 1 group bounds begin
  float weight = 0;
};
struct DeviceCtc {
  const float* logits;  // [B, T, V]
  int64_t utterances;
  int64_t frames;   // T
  int64_t classes;  // V
  int32_t blank;
  int64_t states;                       // S: most states (2 labels + 1) of an utterance
  const DeviceCtcUtterance* utterance;  // [B]
  const int32_t* tokens;                // concatenated
  const int32_t* order;                 // places in the utterance's tokens, sorted by token, then place
  const int32_t* groups;                // bounds of equal tokens within `order`
  double* row_log_sum;                  // [B, T] scratch
  double* alpha;                        // [B, T, S] scratch
  double* beta;                         // [B, T, S] scratch
  double* rows;                         // [B, 2, 2, S] scratch when S > kMostSharedStates, else null
  double* losses;                       // [B]
  float* gradient;                      // [B, T, V]
  void* stream;
};

// One segment of the flat buffers under an update; see the optimizers for the definitions.
struct DeviceAdamWSegment {
  int64_t offset, length;
  float step_size, decay_factor;
};
struct DeviceAdamW {
  float beta1, beta2, eps, inverse_root_correction2, gradient_scale;
};
struct DeviceSgdSegment {
  int64_t offset, length;
  float lr, decay;
};
struct DeviceSgd {
  float momentum, gradient_scale;
  bool is_nesterov;
};

struct DeviceKernels {
  // Frames that one partial sum covers, and how many of them an utterance needs.
  static constexpr int64_t kPieceFrames = 32;
  static int64_t pieces_of(int64_t frames) { return (frames + kPieceFrames - 1) / kPieceFrames; }
  static constexpr int64_t kSumBlock = int64_t{64} * 1024;
  static constexpr int64_t kMostSharedStates = 3072;  // two rows of them fill 48 KiB

  // y [B, T', C] and dx [B, T, C] are overwritten; dweight [K, C] too, with partials [B · pieces_of(T'), K, C] scratch.
  void (*depthwise_forward)(const DeviceDepthwise& call, const float* x, const float* weight, float* y);
  void (*depthwise_grad_input)(const DeviceDepthwise& call, const float* dy, const float* weight, float* dx);
  void (*depthwise_grad_weight)(const DeviceDepthwise& call, const float* x, const float* dy, float* dweight,
                                float* partials);
  void (*layer_norm_forward)(const DeviceBatch& batch, const DeviceLayerNorm& norm, float* y);
  void (*layer_norm_backward)(const DeviceBatch& batch, const DeviceLayerNorm& norm,
                              const DeviceLayerNormGradients& out);
  void (*gate_forward)(const DeviceBatch& batch, const DeviceGate& gate, float* y);
  void (*gate_backward)(const DeviceBatch& batch, const DeviceGate& gate, const DeviceGateGradients& out);
  // Losses and gradient of all utterances (zero where left out, NaN where a logit is not finite).
  void (*ctc)(const DeviceCtc& call);
  // Best class of each row, the first of equals: best [rows].
  void (*argmax)(const float* logits, int64_t rows, int64_t classes, int32_t* best, void* stream);
  // Σ x² of each block of kSumBlock elements at absolute offsets: partials [ceil(count / kSumBlock)].
  void (*sum_of_squares)(const float* values, int64_t count, double* partials, void* stream);
  void (*adamw)(float* parameter, const float* gradient, float* average, float* square,
                const DeviceAdamWSegment* segments, int64_t num_segments, const DeviceAdamW& update, void* stream);
  void (*sgd)(float* parameter, const float* gradient, float* velocity, const DeviceSgdSegment* segments,
              int64_t num_segments, const DeviceSgd& update, void* stream);

  // Memory outside libtorch's pool (optimizer state), zeroed, and copies that wait. allocate throws CommError.
  float* (*allocate)(int64_t count);
  void (*release)(float* memory);
  void (*download)(float* to_host, const float* from, int64_t count);
  void (*upload)(float* to, const float* from_host, int64_t count);
  // The stream that libtorch works on in this thread.
  void* (*current_stream)();
};

// The table of this process: null until the plug-in was loaded. Like libtorch's dispatcher it is one per process, since
// autograd calls the operations from threads of its own.
const DeviceKernels* installed_device_kernels();
void install_device_kernels(const DeviceKernels* kernels);

}  // namespace rehearse
