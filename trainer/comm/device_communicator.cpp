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
                                       std::unique_ptr<DeviceCollectives> collectives, bool may_share)
    : DeviceCommunicator(world, options, std::move(collectives), may_share, std::make_shared<Abort>()) {}

DeviceCommunicator::DeviceCommunicator(const World& world, const CommOptions& options,
                                       std::unique_ptr<DeviceCollectives> collectives, bool may_share,
                                       std::shared_ptr<Abort> abort)
    : collectives_(std::move(collectives)),
      abort_(abort),
      mpi_(world.rank(), world.size(), world.local_size() == world.size(), with_abort(options, abort)) {
  connect(may_share);
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

void DeviceCommunicator::connect(bool may_share) {
  const bool is_shared = is_device_shared();
  if (is_shared && !may_share)
    throw ConfigError(
        "device: expected a device for each of ", size(),
        " ranks; found fewer; start fewer ranks on a host, or set comm.share_device: true, which is correct"
        " and slow");
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
  mpi_.enqueue("connecting the devices", 0,
               [&, this] {
                 collectives_->connect(rank(), size(), id);
                 wait_until_through();
               })
      .get();
}

void DeviceCommunicator::give_up_if_asked() {
  if (!abort_->is_asked || abort_->is_done) return;
  collectives_->abort();
  abort_->is_done = true;
  throw CommError("rank ", rank(), " of ", size(), ": the device's collective was given up");
}

// Until the library takes another call.
void DeviceCommunicator::wait_until_through() {
  abort_->is_inside = true;
  try {
    for (int polls = 0; !collectives_->poll(); ++polls) {
      give_up_if_asked();
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
}

bool DeviceCommunicator::is_reached(const Mark& mark) {
  give_up_if_asked();
  try {
    if (!collectives_->is_reached(mark)) return false;
  } catch (const CommError&) {
    collectives_->abort();
    abort_->is_done = true;
    throw;
  }
  abort_->is_inside = false;
  return true;
}

// Runs `begin` in its turn; the caller's stream waits for what it began when the future is asked for.
std::future<void> DeviceCommunicator::start(const std::string& what, size_t bytes, std::function<void()> begin) {
  const auto end = std::make_shared<Mark>();
  auto started = mpi_.enqueue(
      what, bytes,
      [=, this] {
        begin();
        wait_until_through();
        *end = collectives_->last();
      },
      [=, this] { return !*end || is_reached(*end); });
  return std::async(std::launch::deferred, [this, end, started = std::move(started)]() mutable {
    started.get();
    collectives_->wait(*end);
  });
}

// Runs `work` on a copy of the values in host memory.
std::future<void> DeviceCommunicator::stage(DeviceSpan values, const std::string& what,
                                            std::function<void(std::span<std::byte>)> work) {
  const Mark after = collectives_->mark();
  return mpi_.enqueue(what, values.size_bytes(), [=, this] {
    const std::span<std::byte> copy = collectives_->copy_out(values.values, values.size_bytes(), after);
    work(copy);
    collectives_->copy_in(values.values, copy);
  });
}

std::future<void> DeviceCommunicator::all_reduce_sum(DeviceSpan values, const std::string& what) {
  if (!is_staged_) {
    const Mark after = collectives_->mark();
    return start(what, values.size_bytes(), [=, this] { collectives_->all_reduce_sum(values, after); });
  }
  const auto as = [this, what, count = values.count](auto element) {
    return [this, what, count](std::span<std::byte> copy) {
      mpi_.reduce_now(std::span(reinterpret_cast<decltype(element)*>(copy.data()), count), what);
    };
  };
  switch (values.element) {
    case DeviceSpan::Element::kDouble:
      return stage(values, what, as(double{}));
    case DeviceSpan::Element::kBfloat16:
      return stage(values, what, as(Bfloat16{}));
    default:
      return stage(values, what, as(float{}));
  }
}

std::future<void> DeviceCommunicator::reduce_slices(DeviceSpan values, std::vector<size_t> bounds,
                                                    const std::string& what) {
  if (!is_staged_) {
    const Mark after = collectives_->mark();
    return start(what, values.size_bytes(), [=, this] { collectives_->reduce_slices(values, bounds, after); });
  }
  return stage(values, what, [=, this](std::span<std::byte> copy) {
    if (values.element == DeviceSpan::Element::kBfloat16)
      mpi_.reduce_slices_now(std::span(reinterpret_cast<Bfloat16*>(copy.data()), values.count), bounds, what);
    else
      mpi_.reduce_slices_now(std::span(reinterpret_cast<float*>(copy.data()), values.count), bounds, what);
  });
}

std::future<void> DeviceCommunicator::all_gather_slices(DeviceSpan values, std::vector<size_t> bounds,
                                                        const std::string& what) {
  if (!is_staged_) {
    const Mark after = collectives_->mark();
    return start(what, values.size_bytes(), [=, this] { collectives_->all_gather_slices(values, bounds, after); });
  }
  return stage(values, what, [=, this](std::span<std::byte> copy) {
    mpi_.gather_now({reinterpret_cast<float*>(copy.data()), values.count}, bounds, what);
  });
}

std::future<void> DeviceCommunicator::all_reduce_sum(std::span<float> values, const std::string& what) {
  return mpi_.all_reduce_sum(values, what);
}

std::future<void> DeviceCommunicator::all_reduce_sum(std::span<double> values, const std::string& what) {
  return mpi_.all_reduce_sum(values, what);
}

std::future<void> DeviceCommunicator::all_reduce_sum(std::span<Bfloat16> values, const std::string& what) {
  return mpi_.all_reduce_sum(values, what);
}

std::future<void> DeviceCommunicator::reduce_slices(std::span<float> values, std::vector<size_t> bounds,
                                                    const std::string& what) {
  return mpi_.reduce_slices(values, std::move(bounds), what);
}

std::future<void> DeviceCommunicator::reduce_slices(std::span<Bfloat16> values, std::vector<size_t> bounds,
                                                    const std::string& what) {
  return mpi_.reduce_slices(values, std::move(bounds), what);
}

std::future<void> DeviceCommunicator::all_gather_slices(std::span<float> values, std::vector<size_t> bounds,
                                                        const std::string& what) {
  return mpi_.all_gather_slices(values, std::move(bounds), what);
}

std::future<std::vector<std::vector<std::byte>>> DeviceCommunicator::all_gather(std::vector<std::byte> bytes,
                                                                                const std::string& what) {
  return mpi_.all_gather(std::move(bytes), what);
}

void DeviceCommunicator::broadcast(std::span<std::byte> bytes, int root, const std::string& what) {
  mpi_.broadcast(bytes, root, what);
}

void DeviceCommunicator::barrier(const std::string& what) {
  mpi_.barrier(what);
}

void DeviceCommunicator::finish() {
  mpi_.enqueue("closing the device communicator", 0, [this] { collectives_->close(); }).get();
  mpi_.finish();
}

std::string DeviceCommunicator::description() const {
  return is_staged_ ? collectives_->library() +
                          " is not used: ranks share a device, which it allows from 2.30.3 on; sums"
                          " travel through the host"
                    : collectives_->library() + " on the devices";
}

std::unique_ptr<Communicator> connect_devices(const World& world, const CommOptions& options,
                                              std::unique_ptr<DeviceCollectives> collectives) {
  return std::make_unique<DeviceCommunicator>(world, options, std::move(collectives), options.may_share_device);
}

}  // namespace rehearse
