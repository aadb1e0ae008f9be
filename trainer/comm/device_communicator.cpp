#include "trainer/comm/device_communicator.h"

#include <chrono>
#include <set>
#include <thread>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

constexpr int kEagerPolls = 4000;  // before the thread begins to sleep between them
constexpr auto kPollPause = std::chrono::microseconds(50);
constexpr auto kAbortLimit = std::chrono::seconds(3);

std::vector<std::byte> bytes_of(const std::string& text) {
  const auto view = std::as_bytes(std::span(text));
  return {view.begin(), view.end()};
}

}  // namespace

DeviceCommunicator::DeviceCommunicator(const World& world, const CommOptions& options,
                                       std::unique_ptr<DeviceCollectives> collectives)
    : DeviceCommunicator(world, options, std::move(collectives), std::make_shared<Abort>()) {}

DeviceCommunicator::DeviceCommunicator(const World& world, const CommOptions& options,
                                       std::unique_ptr<DeviceCollectives> collectives, std::shared_ptr<Abort> abort)
    : MpiCommunicator(world.rank(), world.size(), world.local_size() == world.size(), with_abort(options, abort)),
      collectives_(std::move(collectives)),
      abort_(std::move(abort)) {
  connect();
}

// Before the process ends for a failure elsewhere, the communication thread takes its own collective off the device: no
// second thread may call the library meanwhile.
CommOptions DeviceCommunicator::with_abort(CommOptions options, const std::shared_ptr<Abort>& abort) {
  options.on_failure = [abort, last = options.on_failure](const std::string& message) {
    abort->is_asked = true;
    const auto limit = std::chrono::steady_clock::now() + kAbortLimit;
    while (abort->is_inside && !abort->is_done && std::chrono::steady_clock::now() < limit)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    last(message);
  };
  return options;
}

bool DeviceCommunicator::is_device_shared() {
  std::set<std::vector<std::byte>> devices;
  for (auto& id : all_gather(bytes_of(collectives_->device_id()), "all_gather (devices)").get())
    devices.insert(std::move(id));
  return devices.size() < static_cast<size_t>(size());
}

void DeviceCommunicator::connect() {
  const bool is_shared = is_device_shared();
  // All ranks run the same build; should one find another library, all take the path through the host.
  const std::string own = collectives_->can_share_device() ? "shares" : "alone";
  bool can_share = true;
  for (const auto& answer : all_gather(bytes_of(own), "all_gather (device libraries)").get())
    can_share = can_share && answer == bytes_of("shares");
  is_staged_ = is_shared && !can_share;
  if (is_staged_) return;
  collectives_->prepare(is_shared);
  std::vector<std::byte> id(collectives_->id_bytes());
  if (rank() == 0) id = collectives_->new_id();
  broadcast(id, 0, "broadcast (device communicator)");
  // Connecting blocks without driving MPI: nobody may still wait for the broadcast.
  barrier("barrier (device communicator)");
  enqueue("connecting the devices", 0, [&, this] {
    collectives_->connect(rank(), size(), id);
    wait_for_device();
  }).get();
}

void DeviceCommunicator::wait_for_device() {
  abort_->is_inside = true;
  try {
    for (int polls = 0; !collectives_->poll(); ++polls) {
      if (abort_->is_asked) {
        collectives_->abort();
        abort_->is_done = true;
        throw CommError("rank ", rank(), " of ", size(), ": the device's collective was given up");
      }
      if (polls < kEagerPolls)
        std::this_thread::yield();
      else
        std::this_thread::sleep_for(kPollPause);
    }
  } catch (const CommError&) {
    if (!abort_->is_done) collectives_->abort();
    abort_->is_done = true;
    throw;
  }
  abort_->is_inside = false;
}

template <class T>
std::future<void> DeviceCommunicator::reduce(std::span<T> values, DeviceCollectives::Element element,
                                             const std::string& what) {
  if (!collectives_->is_device_memory(values.data())) return MpiCommunicator::all_reduce_sum(values, what);
  const DeviceCollectives::Mark after = collectives_->mark();
  if (is_staged_) {
    return enqueue(what, values.size_bytes(), [=, this] {
      const std::span<std::byte> copy = collectives_->copy_out(values.data(), values.size_bytes(), after);
      reduce_now(std::span<T>(reinterpret_cast<T*>(copy.data()), values.size()), what);
      collectives_->copy_in(values.data(), copy);
    });
  }
  return enqueue(what, values.size_bytes(), [=, this] {
    collectives_->all_reduce_sum(values.data(), values.size(), element, after);
    wait_for_device();
  });
}

std::future<void> DeviceCommunicator::all_reduce_sum(std::span<float> values, const std::string& what) {
  return reduce(values, DeviceCollectives::Element::kFloat, what);
}

std::future<void> DeviceCommunicator::all_reduce_sum(std::span<double> values, const std::string& what) {
  return reduce(values, DeviceCollectives::Element::kDouble, what);
}

std::future<void> DeviceCommunicator::all_reduce_sum(std::span<Bfloat16> values, const std::string& what) {
  return reduce(values, DeviceCollectives::Element::kBfloat16, what);
}

std::future<void> DeviceCommunicator::all_gather_slices(std::span<float> values, std::vector<size_t> bounds,
                                                        const std::string& what) {
  if (!collectives_->is_device_memory(values.data()))
    return MpiCommunicator::all_gather_slices(values, std::move(bounds), what);
  const DeviceCollectives::Mark after = collectives_->mark();
  if (is_staged_) {
    return enqueue(what, values.size_bytes(), [=, this] {
      const std::span<std::byte> copy = collectives_->copy_out(values.data(), values.size_bytes(), after);
      gather_now({reinterpret_cast<float*>(copy.data()), values.size()}, bounds, what);
      collectives_->copy_in(values.data(), copy);
    });
  }
  return enqueue(what, values.size_bytes(), [=, this] {
    collectives_->all_gather_slices(values.data(), bounds, after);
    wait_for_device();
  });
}

void DeviceCommunicator::finish() {
  enqueue("closing the device communicator", 0, [this] { collectives_->close(); }).get();
  MpiCommunicator::finish();
}

std::string DeviceCommunicator::description() const {
  return collectives_->library() +
         (is_staged_ ? ", not used: ranks share a device, which it allows from 2.30.3 on; sums travel through the host"
                     : "");
}

}  // namespace rehearse
