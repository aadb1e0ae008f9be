#include "trainer/checkpoint/checkpoint_writer.h"

#include <algorithm>
#include <utility>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

CheckpointWriter::CheckpointWriter(const Options& options, FileLayer& files) : options_(options), files_(files) {
  std::error_code failure;
  fs::create_directories(options_.folder, failure);
  if (failure)
    throw CommError(options_.folder.string(), ": expected a folder for checkpoints; found ", failure.message());
  warn(remove_leftovers(options_.folder, files_));
  thread_ = std::jthread([this](const std::stop_token& stop) { work(stop); });
}

void CheckpointWriter::raise_failure(std::unique_lock<std::mutex>& lock) {
  if (!failure_) return;
  const std::exception_ptr failure = std::exchange(failure_, nullptr);
  lock.unlock();
  std::rethrow_exception(failure);
}

void CheckpointWriter::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !job_; });
  raise_failure(lock);
}

bool CheckpointWriter::wait_for(double seconds) {
  std::unique_lock lock(mutex_);
  const bool is_idle = changed_.wait_for(lock, std::chrono::duration<double>(seconds), [this] { return !job_; });
  raise_failure(lock);
  return is_idle;
}

std::vector<CheckpointWriter::Saved> CheckpointWriter::take_saved() {
  std::unique_lock lock(mutex_);
  raise_failure(lock);
  return std::exchange(saved_, {});
}

std::vector<std::string> CheckpointWriter::take_warnings() {
  const std::lock_guard lock(mutex_);
  return std::exchange(warnings_, {});
}

void CheckpointWriter::warn(const std::vector<std::string>& refused) {
  const std::lock_guard lock(mutex_);
  for (const std::string& reason : refused)
    if (warned_.insert(reason).second) warnings_.push_back(reason);
}

// Into memory that stays: only the first save has to ask the system for it.
void CheckpointWriter::copy_tensors(CheckpointContents& contents) {
  size_t count = 0;
  for (const auto* tensors : {&contents.model, &contents.optimizer, &contents.ema})
    for (const TensorSpan& tensor : *tensors) count += tensor.values.size();
  if (count > capacity_) {
    buffer_ = std::make_unique_for_overwrite<float[]>(count);
    capacity_ = count;
  }
  float* at = buffer_.get();
  for (auto* tensors : {&contents.model, &contents.optimizer, &contents.ema})
    for (TensorSpan& tensor : *tensors) {
      float* const end = std::copy(tensor.values.begin(), tensor.values.end(), at);
      tensor.values = {at, end};
      at = end;
    }
}

void CheckpointWriter::save(CheckpointContents contents, const Order& order) {
  wait();
  expect_room(contents, options_.folder);
  copy_tensors(contents);
  {
    const std::lock_guard lock(mutex_);
    job_.emplace(Job{std::move(contents), order, seconds_since(order.asked)});
  }
  changed_.notify_all();
}

CheckpointWriter::Saved CheckpointWriter::write(const Job& job) {
  const Clock::time_point start = Clock::now();
  const uint64_t step = job.contents.step;
  const fs::path path = save_checkpoint(job.contents, options_.folder, files_);
  if (job.order.is_best) rehearse::mark_best(path, files_);
  const Rotation rotation{options_.keep_last, options_.keep_every_steps, job.order.kept_step};
  warn(rotate_checkpoints(options_.folder, step, rotation, files_));
  return {path, step, job.stall_s, seconds_since(start)};
}

void CheckpointWriter::work(const std::stop_token& stop) {
  while (true) {
    {
      std::unique_lock lock(mutex_);
      if (!changed_.wait(lock, stop, [this] { return job_.has_value(); })) return;
    }
    std::optional<Saved> saved;
    std::exception_ptr failure;
    try {
      saved = write(*job_);
    } catch (...) {
      failure = std::current_exception();
    }
    {
      const std::lock_guard lock(mutex_);
      if (saved) saved_.push_back(std::move(*saved));
      if (failure) failure_ = std::move(failure);  // the reader lets go of it last
      job_.reset();
    }
    changed_.notify_all();
  }
}

}  // namespace rehearse
