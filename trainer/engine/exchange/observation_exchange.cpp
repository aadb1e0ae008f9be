#include "trainer/engine/exchange/observation_exchange.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "trainer/base/error.h"

namespace rehearse {

static_assert(std::is_trivially_copyable_v<Observation>);

void pack_observation(const Observation& observation, std::vector<std::byte>& bytes) {
  const auto* begin = reinterpret_cast<const std::byte*>(&observation);
  bytes.insert(bytes.end(), begin, begin + sizeof observation);
}

std::vector<Observation> merge_observations(const std::vector<std::vector<std::byte>>& of_ranks) {
  std::vector<Observation> all;
  for (const std::vector<std::byte>& bytes : of_ranks) {
    REHEARSE_CHECK(bytes.size() % sizeof(Observation) == 0, "ranks send whole observations; found ", bytes.size(),
                   " bytes");
    for (size_t at = 0; at < bytes.size(); at += sizeof(Observation))
      std::memcpy(&all.emplace_back(), bytes.data() + at, sizeof(Observation));
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.position < b.position; });
  return all;
}

}  // namespace rehearse
