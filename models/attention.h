// Self-attention over the real frames of an utterance, and linear layers: what transformer-like blocks share.
#pragma once

#include <string>
#include <vector>

#include "models/block.h"

namespace rehearse {

struct Linear {
  at::Tensor weight;  // [O, I]
  at::Tensor bias;    // [O]

  // Parameters `<name>.weight` and `<name>.bias`.
  static Linear create(ParameterStore& store, const std::string& name, int64_t outputs, int64_t inputs);
  at::Tensor operator()(const ForwardContext& context, const at::Tensor& x) const;
};

// Rotary: the halves of a query and a key turn with their frame (Su et al., 2021). Relative: a sinusoid of the distance
// and two learned biases add to the score (Dai et al., 2019, as the Conformer has it).
enum class Positions { kRotary, kRelative };

class SelfAttention {
 public:
  struct Shape {
    int64_t channels = 0;
    int64_t heads = 1;
    Positions positions = Positions::kRotary;
  };
  // What the layers of one pass share.
  struct Frame {
    at::Tensor cosine;     // [T, d / 2], rotary
    at::Tensor sine;       // [T, d / 2], rotary
    at::Tensor distances;  // [2T − 1, C] sinusoids of T − 1 … 1 − T, relative
    at::Tensor bias;       // [B, 1, 1, T]: 0 for real frames, −∞ for padding
  };
  static Frame frame_of(const Sequence& input, const Shape& shape);
  // ConfigError at `where` unless heads divide the channels into even parts.
  static void expect_heads(const Shape& shape, const std::string& where);

  // Parameters `<prefix>qkv.*` (q, k, v in this order, heads inside) and `<prefix>out.*`; relative: also
  // `<prefix>position.weight [C, C]`, `<prefix>content_bias` and `<prefix>position_bias [H, d]`.
  SelfAttention(ParameterStore& store, const std::string& prefix, const Shape& shape);
  // x [B, T, C] -> [B, T, C]; scale 1/sqrt(d).
  at::Tensor operator()(const ForwardContext& context, const at::Tensor& x, const Frame& frame) const;

 private:
  at::Tensor relative_scores(const ForwardContext& context, const at::Tensor& query, const Frame& frame) const;

  Shape shape_;
  Linear qkv_, out_;
  at::Tensor position_;       // [C, C]
  at::Tensor content_bias_;   // [H, d]
  at::Tensor position_bias_;  // [H, d]
};

}  // namespace rehearse
