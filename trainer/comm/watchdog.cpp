#include "trainer/comm/watchdog.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <mutex>
#include <optional>
#include <sstream>
#include <thread>

#include "trainer/base/error.h"
#include "trainer/comm/udp_socket.h"

namespace rehearse {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kBeat = std::chrono::milliseconds(100);
constexpr size_t kPeersPerBeat = 16;
// Seconds before a peer's failure is quoted: a rank that finds the same mistake tells its own story, and the exit code
// of the world is that of the rank that failed. Below the second that mpirun gives to survivors by default.
constexpr double kQuoteAfter = 0.5;

enum Phase : uint32_t { kRunning = 0, kFailed = 1, kFinished = 2, kSaving = 3 };

bool is_final(uint32_t phase) {
  return phase == kFailed || phase == kFinished;
}

// What travels; plain bytes between equal programs of one run.
struct Beat {
  uint64_t job_key = 0;
  uint32_t rank = 0;
  uint32_t phase = kRunning;
  uint64_t collective = 0;  // number of the last one entered
  uint64_t step = 0;
  char note[256] = {};
};

struct Peer {
  std::string host;
  pid_t process = 0;
  bool is_visible = false;  // its process id means the same here
  std::vector<SocketAddress> addresses;
  Beat beat;
  Clock::time_point heard = Clock::now();
  Clock::time_point ended;  // when its failure or end was heard of
};

std::string own_host() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

// This boot of this machine and a namespace in it, without spaces; empty when that cannot be told.
std::string place_of(const char* name_space) {
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  char target[64] = {};
  if (boot.empty() || ::readlink(concat("/proc/self/ns/", name_space).c_str(), target, sizeof target - 1) <= 0)
    return "";
  return boot + "/" + target;
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Loopback alone reaches a rank in the same network, and does so when no other interface is up.
Peer parse_address(const std::string& text, const std::string& network, const std::string& processes) {
  std::istringstream in(text);
  Peer peer;
  uint16_t port = 0;
  std::string its_network, its_processes;
  in >> peer.host >> peer.process >> port >> its_network >> its_processes;
  peer.is_visible = !processes.empty() && its_processes == processes;
  const bool is_near = !network.empty() && its_network == network;
  for (std::string address; in >> address;) {
    const auto to = SocketAddress::parse(address, port);
    if (to && to->is_loopback() == is_near) peer.addresses.push_back(*to);
  }
  return peer;
}

}  // namespace

struct Watchdog::State {
  State(const Options& its_options, bool is_one_host) : options(its_options), socket(is_one_host) {}

  Options options;
  UdpSocket socket;
  std::string network = place_of("net"), processes = place_of("pid");
  std::mutex mutex;
  Beat own;
  bool is_inside = false;
  std::string what;
  Clock::time_point entered;
  Clock::time_point saved;  // when a rank was last known to be saving
  std::optional<Clock::time_point> stopping;
  std::vector<Peer> peers;
  size_t next_peer = 0;
  std::jthread thread;

  void send_beat(size_t num_peers);
  void send_beat_to_all() { send_beat(peers.size()); }
  void receive_beats();
  void note_times();
  std::string judge();
  std::string judge_wait() const;
  std::string absent_ranks() const;
  std::string place() const;
  // Without a beat for so long a rank is silent: 2 s, or three rounds of beats in a large world.
  double silent_after_s() const;
};

Watchdog::Watchdog(const Options& options, bool is_one_host) try
    : state_(std::make_unique<State>(options, is_one_host)) {
  state_->own.rank = static_cast<uint32_t>(options.rank);
} catch (const CommError& failure) {
  throw CommError("rank ", options.rank, ": watchdog: ", failure.what());
}

Watchdog::~Watchdog() {
  if (!state_->thread.joinable()) return;
  state_->thread.request_stop();
  state_->thread.join();
}

std::string Watchdog::address() const {
  const auto known = [](const std::string& place) { return place.empty() ? std::string("?") : place; };
  std::ostringstream out;
  out << own_host() << ' ' << ::getpid() << ' ' << state_->socket.port() << ' ' << known(state_->network) << ' '
      << known(state_->processes);
  for (const std::string& address : state_->socket.own_addresses()) out << ' ' << address;
  return out.str();
}

std::string Watchdog::network() {
  return place_of("net");
}

void Watchdog::start(const std::vector<std::string>& addresses, uint64_t job_key) {
  state_->own.job_key = job_key;
  for (const std::string& address : addresses)
    state_->peers.push_back(parse_address(address, state_->network, state_->processes));
  state_->next_peer = state_->own.rank;  // so that not everybody begins with the same ones
  state_->thread = std::jthread([state = state_.get()](std::stop_token stop) {
    while (!stop.stop_requested()) {
      std::string failure;
      {
        const std::lock_guard lock(state->mutex);
        state->send_beat(kPeersPerBeat);
        state->receive_beats();
        state->note_times();
        failure = state->judge();
      }
      if (!failure.empty()) {
        state->options.on_failure(failure);
        return;
      }
      std::this_thread::sleep_for(kBeat);
    }
  });
}

void Watchdog::enter(const std::string& what) {
  const std::lock_guard lock(state_->mutex);
  ++state_->own.collective;
  state_->is_inside = true;
  state_->what = what;
  state_->entered = Clock::now();
}

void Watchdog::leave() {
  const std::lock_guard lock(state_->mutex);
  state_->is_inside = false;
}

void Watchdog::set_step(uint64_t step) {
  const std::lock_guard lock(state_->mutex);
  state_->own.step = step;
}

void Watchdog::set_saving(bool is_saving) {
  const std::lock_guard lock(state_->mutex);
  if (is_final(state_->own.phase)) return;
  state_->own.phase = is_saving ? kSaving : kRunning;
  state_->send_beat_to_all();
}

void Watchdog::announce_failure(const std::string& reason) {
  const std::lock_guard lock(state_->mutex);
  state_->own.phase = kFailed;
  std::strncpy(state_->own.note, reason.c_str(), sizeof state_->own.note - 1);
  for (int i = 0; i < 3; ++i) state_->send_beat_to_all();
}

void Watchdog::finish() {
  const std::lock_guard lock(state_->mutex);
  state_->own.phase = kFinished;
  state_->send_beat_to_all();
}

void Watchdog::State::send_beat(size_t num_peers) {
  for (size_t i = 0; i < std::min(num_peers, peers.size()); ++i) {
    next_peer = (next_peer + 1) % peers.size();
    if (next_peer == own.rank) continue;
    for (const SocketAddress& to : peers[next_peer].addresses)  // a lost datagram is made good by the next beat
      socket.send(&own, sizeof own, to);
  }
}

void Watchdog::State::receive_beats() {
  Beat beat;
  while (socket.receive(&beat, sizeof beat)) {
    if (beat.job_key != own.job_key || beat.rank >= peers.size()) continue;
    beat.note[sizeof beat.note - 1] = 0;
    Peer& peer = peers[beat.rank];
    if (!is_final(peer.beat.phase)) {
      peer.beat = beat;
      peer.ended = Clock::now();
    }
    peer.heard = Clock::now();
  }
}

void Watchdog::State::note_times() {
  if (!stopping && options.stop_requested && options.stop_requested->load()) stopping = Clock::now();
  bool is_saving = own.phase == kSaving;
  for (const Peer& peer : peers)
    is_saving = is_saving || (peer.beat.phase == kSaving && seconds_since(peer.heard) < silent_after_s());
  if (is_saving) saved = Clock::now();
}

double Watchdog::State::silent_after_s() const {
  const size_t num_beats = (peers.size() + kPeersPerBeat - 1) / kPeersPerBeat;
  return std::max(2.0, 3 * static_cast<double>(num_beats) * std::chrono::duration<double>(kBeat).count());
}

std::string Watchdog::State::place() const {
  return concat("rank ", own.rank, " of ", peers.size(), ": step ", own.step, ", collective ", own.collective, ", ",
                what);
}

// Ranks that have not entered this collective, or have gone silent.
std::string Watchdog::State::absent_ranks() const {
  std::string list;
  int count = 0;
  for (size_t rank = 0; rank < peers.size(); ++rank) {
    const Peer& peer = peers[rank];
    if (rank == own.rank || peer.beat.phase == kFinished) continue;
    const bool is_silent = seconds_since(peer.heard) >= silent_after_s();
    if (peer.beat.collective >= own.collective && !is_silent) continue;
    list += concat(count++ ? ", " : "", rank, " (", peer.host, ", process ", peer.process, ", step ", peer.beat.step,
                   is_silent ? ", silent)" : ", alive but not there)");
  }
  if (count == 0) return "no rank";
  return (count == 1 ? "rank " : "ranks ") + list;
}

// The message that ends this process, or nothing.
std::string Watchdog::State::judge() {
  if (is_final(own.phase)) return "";
  for (size_t rank = 0; rank < peers.size(); ++rank) {
    const Peer& peer = peers[rank];
    if (rank == own.rank || peer.beat.phase == kFinished) continue;
    if (peer.beat.phase == kFailed) {
      if (seconds_since(peer.ended) < kQuoteAfter) continue;
      return concat(place(), ": rank ", rank, " failed: ", peer.beat.note, "; see its log");
    }
    if (peer.is_visible && ::kill(peer.process, 0) != 0 && errno == ESRCH)
      return concat(place(), ": rank ", rank, " is gone (", peer.host, ", process ", peer.process,
                    " ended without a word at step ", peer.beat.step, "); resume with --resume auto");
  }
  return is_inside ? judge_wait() : "";
}

// A wait counts from where the collective was entered, and from the last save and the stop signal if they came later.
std::string Watchdog::State::judge_wait() const {
  const double limit_s = stopping ? std::min(options.term_grace_s, options.timeout_s) : options.timeout_s;
  if (seconds_since(std::max({entered, saved, stopping.value_or(entered)})) < limit_s) return "";
  return concat(place(), ": ", absent_ranks(), " absent after ", limit_s, " s (",
                stopping ? "comm.term_grace_s, after a stop signal" : "comm.timeout_s",
                "); see the log there, then resume with --resume auto");
}

}  // namespace rehearse
