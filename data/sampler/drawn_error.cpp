#include "data/sampler/drawn_error.h"

namespace rehearse {

void DrawnError::add(uint64_t step, uint16_t error, bool is_probe) {
  const Sums one{step, 1, error, is_probe ? 1u : 0u, is_probe ? error : uint64_t{0}};
  if (steps_.empty() || steps_.back().step != step) {
    while (!steps_.empty() && total_.draws - steps_.front().draws >= kMinDraws) {
      count(steps_.front(), false);
      steps_.pop_front();
    }
    steps_.push_back(Sums{step});
  }
  Sums& last = steps_.back();
  last.draws += one.draws;
  last.error += one.error;
  last.probes += one.probes;
  last.probe_error += one.probe_error;
  count(one, true);
}

void DrawnError::count(const Sums& sums, bool is_added) {
  const uint64_t sign = is_added ? 1 : ~uint64_t{0};
  total_.draws += sign * sums.draws;
  total_.error += sign * sums.error;
  total_.probes += sign * sums.probes;
  total_.probe_error += sign * sums.probe_error;
}

double DrawnError::mean() const {
  return total_.draws == 0 ? 0 : static_cast<double>(total_.error) / 65535.0 / static_cast<double>(total_.draws);
}

double DrawnError::mean_without_probes() const {
  const uint64_t draws = total_.draws - total_.probes;
  return draws == 0 ? 0 : static_cast<double>(total_.error - total_.probe_error) / 65535.0 / static_cast<double>(draws);
}

nlohmann::json DrawnError::to_json() const {
  nlohmann::json json = nlohmann::json::array();
  for (const Sums& s : steps_) json.push_back({s.step, s.draws, s.error, s.probes, s.probe_error});
  return json;
}

DrawnError DrawnError::from_json(const nlohmann::json& json) {
  DrawnError drawn;
  for (const auto& row : json) {
    const Sums sums{row.at(0), row.at(1), row.at(2), row.at(3), row.at(4)};
    drawn.steps_.push_back(sums);
    drawn.count(sums, true);
  }
  return drawn;
}

}  // namespace rehearse
