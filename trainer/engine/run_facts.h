// What a checkpoint remembers of the machines and settings it was made with, and in what a resumed run differs: all
// that changes bits, though not what is learned.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "trainer/base/text/json_fields.h"

namespace rehearse {

// Of this process, as it is now: "cpu" (model), "instructions" (that libraries and kernels choose by), "libraries"
// (those loaded that decide numbers: file name and build), and what the caller knows in `more` ("gpu" …).
nlohmann::json machine_facts(const nlohmann::json& more = nlohmann::json::object());

// One thing that is not as it was: "threads", "rank 1: cpu", "libraries: libm.so.6", "budget.steps".
struct FactDifference {
  std::string name;  // rank 0's machine without its rank
  std::string before;
  std::string now;
  std::string consequence = "the result is not bit-exact";
};
// saved, now: `facts` of two starts of one run: threads, ranks, device, versions and machines (one per rank).
// DataError when `saved` has values of other types. A checkpoint of before machines were stored has them "not stored".
std::vector<FactDifference> fact_differences(const JsonFields& saved, const nlohmann::json& now);
// Of two resolved configurations: keys outside the trajectory that change it nevertheless: the budget, which the
// schedule follows, and, with `has_device_sums`, the sizes of buckets, in which a device's sums are made.
std::vector<FactDifference> setting_differences(const std::string& yaml_before, const std::string& yaml_now,
                                                bool has_device_sums);

}  // namespace rehearse
