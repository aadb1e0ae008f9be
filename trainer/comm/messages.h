// Messages between ranks, counted, with waits that leave the core to others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace rehearse {

// Over MPI_COMM_WORLD, for the communication thread only. MPI's own blocking calls poll until they are done, and a
// rank's one core belongs to backward meanwhile: here a wait polls briefly, then sleeps between polls.
class Messages {
 public:
  using Bytes = std::span<std::byte>;
  using ConstBytes = std::span<const std::byte>;
  struct Outgoing {
    int to = 0;
    ConstBytes bytes;
  };
  struct Incoming {
    int from = 0;
    Bytes bytes;
  };
  static constexpr size_t kLongest = size_t{1} << 30;  // MPI counts are int
  // What is longer travels in pieces of at most `longest`, the same on every rank.
  explicit Messages(size_t longest = kLongest) : longest_(longest) {}

  // All of them, at once; empty ones are none. The other side names the same sizes. Returns MPI's code.
  int exchange(const std::vector<Outgoing>& out, const std::vector<Incoming>& in);
  uint64_t num_sent() const { return num_sent_; }
  uint64_t bytes_sent() const { return bytes_sent_; }

 private:
  size_t longest_;
  uint64_t num_sent_ = 0, bytes_sent_ = 0;
};

}  // namespace rehearse
