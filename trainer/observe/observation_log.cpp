#include "trainer/observe/observation_log.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "trainer/base/error.h"
#include "trainer/base/text/printable.h"

namespace rehearse {
namespace {

using nlohmann::json;

std::string hexadecimal(uint64_t id) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(id));
  return text;
}

// The lines of an earlier start that a resumed run keeps. A line that a crash cut off is not one of them.
std::string lines_before(const fs::path& path, uint64_t first_step) {
  std::string kept;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    const json record = json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!record.is_object() || !record.contains("step") || !record["step"].is_number_unsigned()) break;
    if (record["step"].get<uint64_t>() >= first_step) break;
    kept += line + "\n";
  }
  return kept;
}

}  // namespace

ObservationWriter::ObservationWriter(const fs::path& path, uint64_t first_step) : path_(path) {
  FileLayer files;
  replace_text(files, path, first_step > 0 && fs::exists(path) ? lines_before(path, first_step) : "");
  file_.open(path, std::ios::app);
}

void ObservationWriter::write(uint64_t step, const std::vector<Observation>& observations,
                              const std::vector<uint64_t>& ids) {
  json draws = json::array();
  for (const Observation& one : observations)
    draws.push_back({hexadecimal(ids[one.draw.utterance]), one.error, one.is_bad_file ? 1 : one.is_infeasible ? 2 : 0});
  file_ << json({{"step", step}, {"draws", draws}}).dump() << std::endl;
  if (!file_)
    throw CommError(path_.string(), ": expected to write the observations of step ", step,
                    "; found that the disk refuses; free some space and resume with --resume auto");
}

ObservationReplay::ObservationReplay(const fs::path& path) : path_(path) {
  std::ifstream in(path);
  if (!in) throw DataError(path.string(), ": expected observations of a run (log.observations); found no such file");
  size_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    try {
      const json record = json::parse(line);
      std::vector<Record>& step = steps_[record.at("step")];
      step.clear();
      for (const json& draw : record.at("draws"))
        step.push_back(
            {std::stoull(draw.at(0).get<std::string>(), nullptr, 16), draw.at(1), draw.at(2) == 1, draw.at(2) == 2});
    } catch (const std::exception&) {  // of JSON, or of a number in it
      throw DataError(path.string(), ":", number, ": expected the observations of one step; found ",
                      rehearse::quoted(line, 60), "; cut the file back to the lines before");
    }
  }
}

void ObservationReplay::replace(uint64_t step, std::vector<Observation>& observations,
                                const std::vector<uint64_t>& ids) const {
  const auto found = steps_.find(step);
  if (found == steps_.end())
    throw DataError(path_.string(), ": expected observations of step ", step,
                    "; found none; end the run before, or leave"
                    " out --replay-observations");
  const std::vector<Record>& records = found->second;
  if (records.size() != observations.size())
    throw DataError(path_.string(), ": step ", step, ": expected ", records.size(), " draws; found ",
                    observations.size(), "; another configuration, seed or corpus?");
  for (size_t i = 0; i < records.size(); ++i) {
    if (records[i].id != ids[observations[i].draw.utterance])
      throw DataError(path_.string(), ": step ", step, ", draw ", i, ": expected utterance ",
                      hexadecimal(records[i].id), "; found ", hexadecimal(ids[observations[i].draw.utterance]),
                      "; another configuration, seed or corpus?");
    observations[i].error = records[i].error;
    observations[i].is_bad_file = records[i].is_bad_file;
    observations[i].is_infeasible = records[i].is_infeasible;
  }
}

}  // namespace rehearse
