// rehearse doctor: everything that can be known about a run before it trains.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace rehearse {

struct DoctorRequest {
  std::string config_path;
  std::vector<std::string> overrides;  // --set
  std::string list_path;               // all data problems, one a line; "": none
  std::map<std::string, std::string> versions;
};

// Prints its findings and a verdict on rank 0. Returns 0 when training can begin, warnings or not; 2 when the
// configuration or machine forbids it, 3 when the data does.
int doctor(const DoctorRequest& request);

}  // namespace rehearse
