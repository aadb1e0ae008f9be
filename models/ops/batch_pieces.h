// How the fused operations cut a batch: fixed pieces, independent of the number of threads.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "models/torch_prelude.h"
#include "trainer/base/error.h"

namespace rehearse {

// Real frames [begin, end) of one utterance.
struct Piece {
  int64_t utterance = 0;
  int64_t begin = 0;
  int64_t end = 0;
};

constexpr int64_t kPieceFrames = 128;

inline std::vector<Piece> pieces_of(const std::vector<int64_t>& lengths) {
  std::vector<Piece> pieces;
  for (size_t b = 0; b < lengths.size(); ++b)
    for (int64_t t = 0; t < lengths[b]; t += kPieceFrames)
      pieces.push_back({static_cast<int64_t>(b), t, std::min(t + kPieceFrames, lengths[b])});
  return pieces;
}

// Calls task(i) for i in [0, count), on several threads when the whole is worth waking them.
template <class Task>
void for_each_piece(int64_t count, int64_t elements_each, const Task& task) {
  constexpr int64_t kElementsWorthAThread = 16384;
  const int64_t grain = std::max<int64_t>(1, kElementsWorthAThread / std::max<int64_t>(1, elements_each));
  at::parallel_for(0, count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) task(i);
  });
}

// Zeroes the frames at or beyond each length; x is contiguous [B, T, C].
template <class T>
void clear_padding(const at::Tensor& x, const std::vector<int64_t>& lengths) {
  const int64_t frames = x.size(1);
  const int64_t channels = x.size(2);
  T* data = x.mutable_data_ptr<T>();
  for (size_t b = 0; b < lengths.size(); ++b) {
    const int64_t padding = frames - lengths[b];
    if (padding > 0)
      std::memset(data + (static_cast<int64_t>(b) * frames + lengths[b]) * channels, 0, padding * channels * sizeof(T));
  }
}

// Calls work with a value of the tensor's element type.
template <class Work>
void with_real_type(const at::Tensor& x, const Work& work) {
  REHEARSE_CHECK(x.is_cpu(), "these operations have CPU kernels only");
  if (x.scalar_type() == at::kFloat) return work(float{});
  REHEARSE_CHECK(x.scalar_type() == at::kDouble, "the kernels know float and double; found ",
                 toString(x.scalar_type()));
  work(double{});
}

template <class T>
const T* data_or_null(const at::Tensor& x) {
  return x.defined() ? x.const_data_ptr<T>() : nullptr;
}

}  // namespace rehearse
