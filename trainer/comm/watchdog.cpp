#include "trainer/comm/watchdog.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <mutex>
#include <sstream>
#include <thread>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kBeat = std::chrono::milliseconds(100);
constexpr double kSilentAfter = 2.0;  // seconds without a beat
// Seconds before a peer's failure is quoted: a rank that finds the same mistake tells its own story, and the exit code
// of the world is that of the rank that failed. Below the second that mpirun gives to survivors by default.
constexpr double kQuoteAfter = 0.5;

enum Phase : uint32_t { kRunning = 0, kFailed = 1, kFinished = 2 };

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
  std::vector<sockaddr_in> addresses;
  Beat beat;
  Clock::time_point heard = Clock::now();
  Clock::time_point ended;  // when its failure or end was heard of
};

std::vector<in_addr_t> own_addresses(bool is_one_host) {
  std::vector<in_addr_t> found;
  if (is_one_host) return {htonl(INADDR_LOOPBACK)};
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) throw CommError("watchdog: could not list network interfaces: ", std::strerror(errno));
  for (ifaddrs* at = list; at != nullptr; at = at->ifa_next) {
    if (!at->ifa_addr || at->ifa_addr->sa_family != AF_INET || (at->ifa_flags & IFF_LOOPBACK)) continue;
    found.push_back(reinterpret_cast<sockaddr_in*>(at->ifa_addr)->sin_addr.s_addr);
  }
  freeifaddrs(list);
  return found;
}

std::string own_host() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

Peer parse_address(const std::string& text) {
  std::istringstream in(text);
  Peer peer;
  int port = 0;
  in >> peer.host >> peer.process >> port;
  for (uint32_t address = 0; in >> address;) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(port));
    to.sin_addr.s_addr = address;
    peer.addresses.push_back(to);
  }
  return peer;
}

}  // namespace

struct Watchdog::State {
  Options options;
  bool is_one_host = true;
  int socket = -1;
  uint16_t port = 0;
  std::string host = own_host();
  std::mutex mutex;
  Beat own;
  bool is_inside = false;
  std::string what;
  Clock::time_point entered;
  std::vector<Peer> peers;
  std::jthread thread;

  void send_beat();
  void receive_beats();
  std::string judge();
  std::string absent_ranks() const;
  std::string place() const;
};

Watchdog::Watchdog(const Options& options, bool is_one_host) : state_(std::make_unique<State>()) {
  state_->options = options;
  state_->is_one_host = is_one_host;
  state_->own.rank = static_cast<uint32_t>(options.rank);
  state_->socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(is_one_host ? INADDR_LOOPBACK : INADDR_ANY);
  socklen_t size = sizeof address;
  if (state_->socket < 0 || ::bind(state_->socket, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::getsockname(state_->socket, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    throw CommError("rank ", options.rank, ": could not open the watchdog's socket: ", std::strerror(errno));
  state_->port = ntohs(address.sin_port);
}

Watchdog::~Watchdog() {
  if (state_->thread.joinable()) {
    state_->thread.request_stop();
    state_->thread.join();
  }
  if (state_->socket >= 0) ::close(state_->socket);
}

std::string Watchdog::address() const {
  std::ostringstream out;
  out << state_->host << ' ' << ::getpid() << ' ' << state_->port;
  for (in_addr_t address : own_addresses(state_->is_one_host)) out << ' ' << address;
  return out.str();
}

void Watchdog::start(const std::vector<std::string>& addresses, uint64_t job_key) {
  state_->own.job_key = job_key;
  for (const std::string& address : addresses) state_->peers.push_back(parse_address(address));
  state_->thread = std::jthread([state = state_.get()](std::stop_token stop) {
    while (!stop.stop_requested()) {
      std::string failure;
      {
        const std::lock_guard lock(state->mutex);
        state->send_beat();
        state->receive_beats();
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

void Watchdog::announce_failure(const std::string& reason) {
  const std::lock_guard lock(state_->mutex);
  state_->own.phase = kFailed;
  std::strncpy(state_->own.note, reason.c_str(), sizeof state_->own.note - 1);
  for (int i = 0; i < 3; ++i) state_->send_beat();
}

void Watchdog::finish() {
  const std::lock_guard lock(state_->mutex);
  state_->own.phase = kFinished;
  state_->send_beat();
}

void Watchdog::State::send_beat() {
  for (size_t rank = 0; rank < peers.size(); ++rank) {
    if (rank == own.rank) continue;
    for (const sockaddr_in& to : peers[rank].addresses)  // a lost datagram is made good by the next beat
      ::sendto(socket, &own, sizeof own, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
  }
}

void Watchdog::State::receive_beats() {
  Beat beat;
  while (::recv(socket, &beat, sizeof beat, 0) == static_cast<ssize_t>(sizeof beat)) {
    if (beat.job_key != own.job_key || beat.rank >= peers.size()) continue;
    beat.note[sizeof beat.note - 1] = 0;
    Peer& peer = peers[beat.rank];
    if (peer.beat.phase == kRunning) {  // failed and finished are final
      peer.beat = beat;
      peer.ended = Clock::now();
    }
    peer.heard = Clock::now();
  }
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
    const double silent_s = std::chrono::duration<double>(Clock::now() - peer.heard).count();
    if (peer.beat.collective >= own.collective && silent_s < kSilentAfter) continue;
    list += concat(count++ ? ", " : "", rank, " (", peer.host, ", process ", peer.process, ", step ", peer.beat.step,
                   silent_s >= kSilentAfter ? ", silent)" : ", alive but not there)");
  }
  if (count == 0) return "no rank";
  return (count == 1 ? "rank " : "ranks ") + list;
}

// The message that ends this process, or nothing.
std::string Watchdog::State::judge() {
  if (own.phase != kRunning) return "";
  for (size_t rank = 0; rank < peers.size(); ++rank) {
    const Peer& peer = peers[rank];
    if (rank == own.rank || peer.beat.phase == kFinished) continue;
    if (peer.beat.phase == kFailed) {
      if (std::chrono::duration<double>(Clock::now() - peer.ended).count() < kQuoteAfter) continue;
      return concat(place(), ": rank ", rank, " failed: ", peer.beat.note, "; see its log");
    }
    if (peer.host == host && ::kill(peer.process, 0) != 0 && errno == ESRCH)
      return concat(place(), ": rank ", rank, " is gone (process ", peer.process, " ended without a word at step ",
                    peer.beat.step, "); resume with --resume auto");
  }
  if (!is_inside) return "";
  const double inside_s = std::chrono::duration<double>(Clock::now() - entered).count();
  const bool is_stopping = options.stop_requested && options.stop_requested->load();
  const double limit_s = is_stopping ? std::min(options.term_grace_s, options.timeout_s) : options.timeout_s;
  if (inside_s < limit_s) return "";
  return concat(place(), ": ", absent_ranks(), " absent after ", limit_s, " s (",
                is_stopping ? "comm.term_grace_s, after a stop signal" : "comm.timeout_s",
                "); see the log there, then resume with --resume auto");
}

}  // namespace rehearse
