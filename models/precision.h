// The type in which the model's large products are computed.
#pragma once

namespace rehearse {

// Matrix products, convolutions and attention have operands, results and gradients of this type; everything between
// them, the weights, their gradients summed over micro-batches and the optimizer stay in the type of the parameters.
enum class Precision {
  kFull,      // the type of the parameters
  kBfloat16,  // 8 bits of mantissa, the range of float32: needs no loss scaling
  kFloat16,   // 11 bits, up to 65504: gradients need loss scaling (trainer/engine/update/loss_scale.h)
};

}  // namespace rehearse
