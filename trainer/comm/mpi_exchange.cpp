#include "trainer/comm/mpi_exchange.h"

#include <mpi.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <map>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

constexpr size_t kWholeBytes = 4096;  // up to here one exchange of everything is cheaper than two of parts
constexpr size_t kLaneBytes = 8192;   // and between hosts a message of more than that is worth one of its own
constexpr size_t kBlock = 2048;       // elements that are added up at a time, in cache

template <class T>
T sum_of(T a, T b) {
  return a + b;
}
template <>
Bfloat16 sum_of(Bfloat16 a, Bfloat16 b) {
  return to_bfloat16(to_float(a) + to_float(b));
}

// `into`: the sum of equally long parts, the first one first; it may be one of them.
template <class T>
void add_in_order(std::span<T> into, const std::vector<const T*>& parts) {
  T sums[kBlock];
  for (size_t at = 0; at < into.size(); at += kBlock) {
    const size_t count = std::min(kBlock, into.size() - at);
    std::copy_n(parts[0] + at, count, sums);
    for (size_t p = 1; p < parts.size(); ++p)
      for (size_t i = 0; i < count; ++i) sums[i] = sum_of(sums[i], parts[p][at + i]);
    std::copy_n(sums, count, into.data() + at);
  }
}

std::vector<size_t> equal_parts(size_t count, size_t num_parts) {
  std::vector<size_t> bounds;
  for (size_t part = 0; part <= num_parts; ++part) bounds.push_back(count * part / num_parts);
  return bounds;
}

// Part `part` of each of several.
std::span<std::byte> part_of(std::span<std::byte> bytes, size_t part, size_t num_parts) {
  const size_t begin = bytes.size() * part / num_parts, end = bytes.size() * (part + 1) / num_parts;
  return bytes.subspan(begin, end - begin);
}

// Bytes begin … end - 1 of the ranges laid end to end: `visit` gets each piece and where it is after `begin`.
template <class Visit>
void visit_window(const std::vector<std::span<std::byte>>& ranges, size_t begin, size_t end, Visit visit) {
  size_t at = 0;
  for (const auto& range : ranges) {
    const size_t from = std::max(begin, at), to = std::min(end, at + range.size());
    if (from < to) visit(range.subspan(from - at, to - from), from - begin);
    at += range.size();
  }
}

size_t total(const std::vector<std::span<std::byte>>& ranges) {
  size_t bytes = 0;
  for (const auto& range : ranges) bytes += range.size();
  return bytes;
}

}  // namespace

int MpiExchange::own_host() {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm host = MPI_COMM_NULL;
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &host);
  MPI_Bcast(&rank, 1, MPI_INT, 0, host);
  MPI_Comm_free(&host);
  return rank;
}

MpiExchange::MpiExchange(int host, size_t longest_message) : messages_(longest_message) {
  int size = 1, num_local = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Comm local = MPI_COMM_NULL;
  MPI_Comm_split(MPI_COMM_WORLD, host, rank_, &local);
  MPI_Comm_size(local, &num_local);
  if (num_local > 1) memory_ = HostMemory::open(local, refusal_);
  // The first rank of those that share memory stands for them; host numbers may be anything.
  int first = rank_;
  if (memory_) MPI_Bcast(&first, 1, MPI_INT, 0, local);
  int local_rank = 0;
  MPI_Comm_rank(local, &local_rank);
  if (local_rank > 0) refusal_.clear();  // one of them says it
  MPI_Comm_free(&local);
  std::vector<int> firsts(static_cast<size_t>(size));
  MPI_Allgather(&first, 1, MPI_INT, firsts.data(), 1, MPI_INT, MPI_COMM_WORLD);
  std::map<int, std::vector<int>> ranks;
  for (int rank = 0; rank < size; ++rank) ranks[firsts[static_cast<size_t>(rank)]].push_back(rank);
  most_lanes_ = std::numeric_limits<size_t>::max();
  for (auto& [of_first, all] : ranks) {
    if (of_first == first) host_ = hosts_.size();
    most_lanes_ = std::min(most_lanes_, all.size());
    hosts_.push_back(std::move(all));
  }
  const auto& own = hosts_[host_];
  num_local_ = own.size();
  local_ = static_cast<size_t>(std::find(own.begin(), own.end(), rank_) - own.begin());
  uint64_t bytes = memory_ ? memory_->slot_bytes() : std::numeric_limits<uint64_t>::max();
  MPI_Allreduce(MPI_IN_PLACE, &bytes, 1, MPI_UINT64_T, MPI_MIN, MPI_COMM_WORLD);
  round_bytes_ = bytes;
}

Traffic MpiExchange::traffic() const {
  return {messages_.num_sent(), messages_.bytes_sent(), memory_ ? memory_->num_meetings() : 0, shared_bytes_};
}

MpiExchange::Bytes MpiExchange::scratch(size_t bytes) {
  if (scratch_.size() < bytes) scratch_.resize(bytes);
  return {scratch_.data(), bytes};
}

void MpiExchange::meet() {
  if (memory_) memory_->meet();
}

// How many ranks of a host talk to other hosts at once, each about a part of the values; equal on every host.
size_t MpiExchange::lanes_for(size_t bytes) const {
  return std::clamp<size_t>(bytes / (kLaneBytes * hosts_.size()), 1, most_lanes_);
}

// Fewer lanes than ranks go round, so that no rank sends more than the others: this rank's lane now, or one that is
// not.
size_t MpiExchange::take_turn(size_t num_lanes) {
  if (num_lanes == most_lanes_) return local_;
  turn_ = (turn_ + num_lanes) % most_lanes_;
  return local_ < most_lanes_ ? (local_ + most_lanes_ - turn_) % most_lanes_ : most_lanes_;
}

// What of elements first … last - 1 is wanted, counted from there.
MpiExchange::Wanted MpiExchange::Wanted::within(size_t first, size_t last) const {
  return {std::clamp(begin, first, last) - first, std::clamp(end, first, last) - first};
}

// `want(begin, end)`: what this rank wants of these elements, and what each host does, nothing where all want all.
template <class T, class Want>
int MpiExchange::sum_rounds(std::span<T> values, Want want) {
  const size_t round = std::min(round_bytes_ / sizeof(T), values.size());
  for (size_t at = 0; at < values.size(); at += round) {
    const size_t end = at + std::min(round, values.size() - at);
    const auto [own, by_host] = want(at, end);
    if (const int code = sum_round(values.subspan(at, end - at), own, by_host); code != MPI_SUCCESS) return code;
  }
  return MPI_SUCCESS;
}

template <class T>
int MpiExchange::sum(std::span<T> values) {
  return sum_rounds(values, [](size_t begin, size_t end) {
    return std::pair(Wanted{0, end - begin}, std::vector<Wanted>());
  });
}
template int MpiExchange::sum(std::span<float>);
template int MpiExchange::sum(std::span<double>);
template int MpiExchange::sum(std::span<Bfloat16>);

// A host gets the span from its first rank's slice to its last one's.
template <class T>
int MpiExchange::sum_slices(std::span<T> values, const std::vector<size_t>& bounds) {
  return sum_rounds(values, [&](size_t begin, size_t end) {
    std::vector<Wanted> by_host;
    for (const std::vector<int>& ranks : hosts_) {
      const auto first = static_cast<size_t>(ranks.front()), last = static_cast<size_t>(ranks.back());
      by_host.push_back(Wanted{bounds[first], bounds[last + 1]}.within(begin, end));
    }
    const auto rank = static_cast<size_t>(rank_);
    return std::pair(Wanted{bounds[rank], bounds[rank + 1]}.within(begin, end), std::move(by_host));
  });
}
template int MpiExchange::sum_slices(std::span<float>, const std::vector<size_t>&);
template int MpiExchange::sum_slices(std::span<Bfloat16>, const std::vector<size_t>&);

// Elements first … of everybody's values, this rank's from where they are.
template <class T>
void MpiExchange::add_slots(std::span<T> own, size_t first) const {
  std::vector<const T*> parts;
  for (size_t rank = 0; rank < num_local_; ++rank)
    parts.push_back(rank == local_ ? own.data() : reinterpret_cast<const T*>(memory_->slot(rank)) + first);
  add_in_order(own, parts);
}

// Copies `all` but elements begin … end - 1.
template <class T>
void MpiExchange::copy_around(const T* from, T* to, Wanted all, size_t begin, size_t end) {
  const auto copy = [&](size_t first, size_t last) {
    if (first < last) std::copy_n(from + first, last - first, to + first);
  };
  copy(all.begin, std::min(all.end, begin));
  copy(std::max(all.begin, end), all.end);
}

template <class T>
int MpiExchange::sum_round(std::span<T> values, Wanted own, const std::vector<Wanted>& by_host) {
  if (!memory_) return hosts_.size() > 1 ? sum_between_hosts(values, by_host) : MPI_SUCCESS;
  memory_->begin_round();
  const bool is_alone = hosts_.size() == 1;
  T* slot = reinterpret_cast<T*>(memory_->slot(local_));
  shared_bytes_ += values.size_bytes();
  if (is_alone && values.size_bytes() <= kWholeBytes) {
    std::copy_n(values.data(), values.size(), slot);
    meet();
    add_slots(values, 0);
    return MPI_SUCCESS;
  }
  // Each rank adds up a part, of which it alone needs its own values. Those that talk to other hosts go on from there;
  // when these are not all ranks, or their parts are others, they have to wait for the sums.
  const std::vector<size_t> local = equal_parts(values.size(), num_local_);
  const size_t begin = local[local_], end = local[local_ + 1];
  copy_around(values.data(), slot, {0, values.size()}, begin, end);
  meet();
  add_slots(values.subspan(begin, end - begin), begin);
  T* result = reinterpret_cast<T*>(memory_->result());
  std::copy(values.begin() + static_cast<std::ptrdiff_t>(begin), values.begin() + static_cast<std::ptrdiff_t>(end),
            result + begin);
  if (!is_alone) {
    const std::vector<size_t> lanes = equal_parts(values.size(), lanes_for(values.size_bytes()));
    if (lanes != local) meet();
    const size_t lane = take_turn(lanes.size() - 1);
    if (lane + 1 < lanes.size()) {
      const std::span<T> part(result + lanes[lane], lanes[lane + 1] - lanes[lane]);
      std::vector<Wanted> of_part;
      of_part.reserve(by_host.size());
      for (const Wanted& one : by_host) of_part.push_back(one.within(lanes[lane], lanes[lane + 1]));
      if (const int code = sum_between_hosts(part, of_part); code != MPI_SUCCESS) return code;
    }
  }
  meet();
  copy_around(result, values.data(), own, is_alone ? begin : 0, is_alone ? end : 0);
  return MPI_SUCCESS;
}

// With the ranks of the same place on other hosts: each adds up one part of everybody's values, then all get all parts;
// where each host needs a part alone, that one, and it keeps it. A few values go to everybody whole.
template <class T>
int MpiExchange::sum_between_hosts(std::span<T> values, const std::vector<Wanted>& by_host) {
  const size_t num_hosts = hosts_.size();
  const bool is_whole = values.size_bytes() <= kWholeBytes;
  const std::vector<size_t> bounds = equal_parts(values.size(), num_hosts);
  const auto part = [&](size_t host) {
    const Wanted of_host = by_host.empty() ? Wanted{bounds[host], bounds[host + 1]} : by_host[host];
    return values.subspan(of_host.begin, of_host.end - of_host.begin);
  };
  const std::span<T> own = is_whole ? values : part(host_);
  const Bytes received = scratch(own.size_bytes() * num_hosts);
  std::vector<Messages::Outgoing> out;
  std::vector<Messages::Incoming> in;
  std::vector<const T*> parts(num_hosts, own.data());
  // Each begins with its right-hand neighbour, so that nobody is everybody's first.
  for (size_t distance = 1; distance < num_hosts; ++distance) {
    const size_t to = (host_ + distance) % num_hosts, from = (host_ + num_hosts - distance) % num_hosts;
    const Bytes place = received.subspan(from * own.size_bytes(), own.size_bytes());
    parts[from] = reinterpret_cast<const T*>(place.data());
    out.push_back({partner(to, local_), std::as_bytes(is_whole ? values : part(to))});
    in.push_back({partner(from, local_), place});
  }
  if (const int code = messages_.exchange(out, in); code != MPI_SUCCESS) return code;
  add_in_order(own, parts);
  if (is_whole || !by_host.empty()) return MPI_SUCCESS;
  out.clear();
  in.clear();
  for (size_t distance = 1; distance < num_hosts; ++distance) {
    const size_t to = (host_ + distance) % num_hosts, from = (host_ + num_hosts - distance) % num_hosts;
    out.push_back({partner(to, local_), std::as_bytes(own)});
    in.push_back({partner(from, local_), std::as_writable_bytes(part(from))});
  }
  return messages_.exchange(out, in);
}

// Every rank of the host hands its part to the others, through its slot.
void MpiExchange::share(const std::vector<Ranges>& parts) {
  if (!memory_) return;
  size_t longest = 0;
  for (const Ranges& part : parts) longest = std::max(longest, total(part));
  const size_t slot_bytes = memory_->slot_bytes();
  for (size_t begin = 0; begin < longest; begin += slot_bytes) {
    memory_->begin_round();
    visit_window(parts[local_], begin, begin + slot_bytes, [&](Bytes piece, size_t at) {
      std::memcpy(memory_->slot(local_) + at, piece.data(), piece.size());
      shared_bytes_ += piece.size();
    });
    meet();
    for (size_t rank = 0; rank < num_local_; ++rank) {
      if (rank == local_) continue;
      visit_window(parts[rank], begin, begin + slot_bytes,
                   [&](Bytes piece, size_t at) { std::memcpy(piece.data(), memory_->slot(rank) + at, piece.size()); });
    }
  }
}

int MpiExchange::gather(Bytes bytes, const std::vector<size_t>& bounds) {
  const auto slice = [&](int rank) {
    const auto r = static_cast<size_t>(rank);
    return bytes.subspan(bounds[r], bounds[r + 1] - bounds[r]);
  };
  std::vector<Ranges> own;
  for (const int rank : hosts_[host_]) own.push_back({slice(rank)});
  share(own);
  if (hosts_.size() == 1) return MPI_SUCCESS;
  const size_t num_lanes = lanes_for(bounds.back() - bounds.front());
  if (local_ < num_lanes)
    if (const int code = gather_between_hosts(bytes, bounds, local_, num_lanes); code != MPI_SUCCESS) return code;
  std::vector<Ranges> foreign(num_local_);
  for (size_t lane = 0; lane < num_lanes; ++lane)
    for (size_t host = 0; host < hosts_.size(); ++host)
      for (const int rank : hosts_[host])
        if (host != host_) foreign[lane].push_back(part_of(slice(rank), lane, num_lanes));
  share(foreign);
  return MPI_SUCCESS;
}

// What a host has doubles with each exchange (Bruck et al. 1997): it gets the hosts that its right-hand neighbour at
// that distance has, and gives its own to the left. One message carries them all.
int MpiExchange::gather_between_hosts(Bytes bytes, const std::vector<size_t>& bounds, size_t lane, size_t num_lanes) {
  const size_t num_hosts = hosts_.size();
  const auto ranges_of = [&](size_t first_host, size_t count) {
    Ranges ranges;
    for (size_t i = 0; i < count; ++i)
      for (const int rank : hosts_[(first_host + i) % num_hosts]) {
        const auto r = static_cast<size_t>(rank);
        ranges.push_back(part_of(bytes.subspan(bounds[r], bounds[r + 1] - bounds[r]), lane, num_lanes));
      }
    return ranges;
  };
  for (size_t distance = 1; distance < num_hosts; distance *= 2) {
    const size_t count = std::min(distance, num_hosts - distance);
    const size_t right = (host_ + distance) % num_hosts, left = (host_ + num_hosts - distance) % num_hosts;
    const Ranges give = ranges_of(host_, count), get = ranges_of(right, count);
    const Bytes packed = scratch(total(give) + total(get));
    const Bytes given = packed.first(total(give)), got = packed.subspan(total(give));
    visit_window(give, 0, given.size(),
                 [&](Bytes piece, size_t at) { std::memcpy(given.data() + at, piece.data(), piece.size()); });
    const int code = messages_.exchange({{partner(left, lane), given}}, {{partner(right, lane), got}});
    if (code != MPI_SUCCESS) return code;
    visit_window(get, 0, got.size(),
                 [&](Bytes piece, size_t at) { std::memcpy(piece.data(), got.data() + at, piece.size()); });
  }
  return MPI_SUCCESS;
}

// A tree over hosts: the one at place v, counted from the root's, hears from v without its lowest bit. Pieces follow
// each other down the tree.
int MpiExchange::broadcast(Bytes bytes, int root) {
  const size_t num_hosts = hosts_.size();
  size_t root_host = 0;
  while (std::count(hosts_[root_host].begin(), hosts_[root_host].end(), root) == 0) ++root_host;
  const auto speaker = [&](size_t host) { return host == root_host ? root : hosts_[host][0]; };
  const size_t place = (host_ + num_hosts - root_host) % num_hosts;
  const size_t lowest_bit = place == 0 ? std::bit_ceil(num_hosts) : place & (~place + 1);
  const auto speaker_at = [&](size_t at) { return speaker((at + root_host) % num_hosts); };
  const size_t own_speaker = static_cast<size_t>(std::find(hosts_[host_].begin(), hosts_[host_].end(), speaker(host_)) -
                                                 hosts_[host_].begin());
  const size_t round = std::min(round_bytes_, bytes.size());
  for (size_t at = 0; at < bytes.size(); at += round) {
    const Bytes piece = bytes.subspan(at, std::min(round, bytes.size() - at));
    if (own_speaker == local_) {
      int code = MPI_SUCCESS;
      if (place != 0) code = messages_.exchange({}, {{speaker_at(place - lowest_bit), piece}});
      std::vector<Messages::Outgoing> out;
      for (size_t bit = lowest_bit / 2; bit > 0; bit /= 2)
        if (place + bit < num_hosts) out.push_back({speaker_at(place + bit), piece});
      if (code == MPI_SUCCESS) code = messages_.exchange(out, {});
      if (code != MPI_SUCCESS) return code;
    }
    std::vector<Ranges> parts(num_local_);
    parts[own_speaker] = {piece};
    share(parts);
  }
  return MPI_SUCCESS;
}

// Everybody of the host is there; then, at doubling distances, so are all hosts.
int MpiExchange::barrier() {
  if (memory_) memory_->begin_round();
  meet();
  if (hosts_.size() == 1) return MPI_SUCCESS;
  if (local_ == 0) {
    for (size_t distance = 1; distance < hosts_.size(); distance *= 2) {
      const size_t right = (host_ + distance) % hosts_.size(),
                   left = (host_ + hosts_.size() - distance) % hosts_.size();
      std::byte here{1}, there{0};
      const int code = messages_.exchange({{partner(right, 0), {&here, 1}}}, {{partner(left, 0), {&there, 1}}});
      if (code != MPI_SUCCESS) return code;
    }
  }
  meet();
  return MPI_SUCCESS;
}

float to_float(Bfloat16 value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16);
}

Bfloat16 to_bfloat16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if (value != value) return {static_cast<uint16_t>((bits >> 16) | 0x40)};  // still a NaN after the cut
  return {static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16)};
}

}  // namespace rehearse
