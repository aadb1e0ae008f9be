// Communicators for tests in one process.
#pragma once

#include <bit>
#include <string>
#include <vector>

#include "trainer/comm/communicator.h"

namespace rehearse {

// A world of `size` ranks that all hold what this one holds: a sum is a multiple. Writes down every call.
class FakeCommunicator : public Communicator {
 public:
  explicit FakeCommunicator(int size) : size_(size) {}
  int rank() const override { return 0; }
  int size() const override { return size_; }
  std::future<void> all_reduce_sum(std::span<float> values, const std::string& what) override {
    return reduce(values, what);
  }
  std::future<void> all_reduce_sum(std::span<double> values, const std::string& what) override {
    return reduce(values, what);
  }
  std::future<void> all_reduce_sum(std::span<Bfloat16> values, const std::string& what) override {
    calls.push_back(what);
    for (Bfloat16& value : values) {
      const float sum = std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16) * static_cast<float>(size_);
      value.bits = static_cast<uint16_t>(std::bit_cast<uint32_t>(sum) >> 16);
    }
    return done();
  }
  std::future<void> reduce_slices(std::span<float> values, std::vector<size_t>, const std::string& what) override {
    return reduce(values, what);
  }
  std::future<void> reduce_slices(std::span<Bfloat16> values, std::vector<size_t>, const std::string& what) override {
    return all_reduce_sum(values, what);
  }
  // The other ranks hold what this one holds.
  std::future<void> all_gather_slices(std::span<float>, std::vector<size_t>, const std::string& what) override {
    calls.push_back(what);
    return done();
  }
  std::future<std::vector<std::vector<std::byte>>> all_gather(std::vector<std::byte> bytes,
                                                              const std::string& what) override {
    calls.push_back(what);
    std::promise<std::vector<std::vector<std::byte>>> promise;
    promise.set_value(std::vector<std::vector<std::byte>>(static_cast<size_t>(size_), bytes));
    return promise.get_future();
  }
  void broadcast(std::span<std::byte>, int, const std::string& what) override { calls.push_back(what); }
  void barrier(const std::string& what) override { calls.push_back(what); }
  void set_step(uint64_t) override {}
  void set_saving(bool) override {}
  void announce_failure(const std::string&) override {}
  void finish() override {}
  double busy_seconds() const override { return 0; }
  Traffic traffic() const override { return {}; }

  std::vector<std::string> calls;

 private:
  template <class T>
  std::future<void> reduce(std::span<T> values, const std::string& what) {
    calls.push_back(what);
    for (T& value : values) value *= static_cast<T>(size_);
    return done();
  }
  static std::future<void> done() {
    std::promise<void> promise;
    promise.set_value();
    return promise.get_future();
  }
  int size_;
};

}  // namespace rehearse
