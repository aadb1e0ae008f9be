#include "trainer/engine/resume.h"

#include <algorithm>

#include "trainer/base/error.h"
#include "trainer/base/text/json_fields.h"
#include "trainer/checkpoint/checkpoint_diff.h"
#include "trainer/engine/run_facts.h"
#include "trainer/engine/run_options.h"

namespace rehearse {
namespace {

std::vector<std::byte> bytes_of(const std::string& text) {
  const auto view = std::as_bytes(std::span(text));
  return {view.begin(), view.end()};
}

std::string text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// As rank 0 sees them, newest first: on a shared file system another rank may not see a new folder yet.
std::vector<fs::path> candidates_of(const ResumeRequest& request, Communicator& communicator) {
  std::string joined;
  if (communicator.rank() == 0) {
    const fs::path from = request.from == "auto" ? request.run : fs::path(request.from);
    std::vector<fs::path> found = list_checkpoints(checkpoints_folder(from));
    if (fs::exists(from / "MANIFEST.json")) found = {from};
    for (const fs::path& one : found) joined += one.string() + '\0';
  }
  const std::string told = text_of(communicator.all_gather(bytes_of(joined), "all_gather (checkpoints)").get().at(0));
  std::vector<fs::path> paths;
  for (size_t at = 0; at < told.size(); at = told.find('\0', at) + 1)
    paths.emplace_back(told.substr(at, told.find('\0', at) - at));
  return paths;
}

// "optimizer.lr 0.1 instead of 0.02, …": what the checkpoint's configuration had otherwise.
std::string changed_keys(const std::string& yaml_before, const std::string& yaml_now) {
  constexpr size_t kShown = 5;
  std::vector<KeyDifference> changed = config_differences(yaml_before, yaml_now);
  std::erase_if(changed, [](const KeyDifference& one) { return is_outside_trajectory(one.key); });
  std::string text;
  for (size_t i = 0; i < std::min(kShown, changed.size()); ++i)
    text += concat(i > 0 ? ", " : "", changed[i].key, " ", changed[i].b, " instead of ", changed[i].a);
  if (changed.size() > kShown) text += concat(" and ", changed.size() - kShown, " more");
  return text.empty() ? "other values for keys that change the trajectory" : text;
}

// What a checkpoint says about the run that wrote it.
struct Origin {
  std::string where;
  std::string trajectory_hash, corpus, config;
  std::vector<FactDifference> differences;  // to this start
};

Origin origin_of(const LoadedCheckpoint& checkpoint, const ResumeRequest& request) {
  Origin origin;
  origin.where = (checkpoint.path / "state.json").string();
  const JsonFields facts = JsonFields(checkpoint.state.values, origin.where).child("facts");
  origin.trajectory_hash = facts.required_text("trajectory_hash");
  origin.corpus = facts.required_text("corpus");
  const auto config = checkpoint.files.find("config.yaml");
  if (config == checkpoint.files.end())
    throw DataError((checkpoint.path / "config.yaml").string(), ": expected the run's configuration; found none");
  origin.config = config->second;
  origin.differences = fact_differences(facts, request.facts);
  const bool has_device_sums = request.facts.at("device") != "cpu" && request.facts.at("ranks") > 1;
  try {
    for (FactDifference& one : setting_differences(origin.config, request.config.resolved(), has_device_sums))
      origin.differences.push_back(std::move(one));
  } catch (const ConfigError& failure) {
    throw DataError((checkpoint.path / "config.yaml").string(),
                    ": expected the run's configuration; found a damaged one");
  }
  return origin;
}

void expect_same_run(const Origin& origin, const ResumeRequest& request) {
  if (!is_trajectory_of(request.config, origin.trajectory_hash))
    throw ConfigError(origin.where, ": expected the configuration that this run began with; found ",
                      changed_keys(origin.config, request.config.resolved()),
                      "; go on with the old values, or start a new run with --init");
  if (origin.corpus != request.facts.at("corpus"))
    throw DataError(origin.where,
                    ": expected the training data that this run began with; found other examples or another content;"
                    " start a new run with --init");
}

void report_differences(const Origin& origin, bool is_strict, Log& log) {
  for (const FactDifference& one : origin.differences) {
    const std::string text =
        concat("resumed with other ", one.name, ": expected ", one.before, ", found ", one.now, "; ", one.consequence);
    if (is_strict) throw ConfigError(origin.where, ": ", text, " and --strict-resume asks for it");
    log.warn(text);
  }
}

// Why the checkpoint cannot be gone on from; empty: all ranks have loaded it.
class Attempt {
 public:
  Attempt(const ResumeRequest& request, Communicator& communicator) : request_(request), communicator_(communicator) {}

  std::string load(const fs::path& path) {
    std::optional<LoadedCheckpoint> checkpoint;
    std::string refusal = reason_of(path, [&] {
      checkpoint = load_to_go_on(path, request_.check);
      expect_resumable(*checkpoint);
      origin_ = origin_of(*checkpoint, request_);
    });
    if (refusal.empty()) {
      expect_same_run(origin_, request_);
      step_ = checkpoint->step;
      refusal = reason_of(path, [&] { request_.load(*checkpoint); });
    }
    return of_all_ranks(refusal);
  }
  uint64_t step() const { return step_; }
  const Origin& origin() const { return origin_; }

 private:
  // Parts that know no file, such as the sampler, speak of "checkpoint".
  template <class Act>
  static std::string reason_of(const fs::path& path, const Act& act) {
    try {
      act();
      return "";
    } catch (const DataError& failure) {
      const std::string text = failure.what();
      return text.find(path.string()) == std::string::npos ? concat(path.string(), ": ", text) : text;
    }
  }

  std::string of_all_ranks(const std::string& own) {
    const auto all = communicator_.all_gather(bytes_of(own), "all_gather (checkpoint refused)").get();
    for (size_t rank = 0; rank < all.size(); ++rank)
      if (!all[rank].empty()) return concat(rank > 0 ? concat("rank ", rank, ": ") : "", text_of(all[rank]));
    return "";
  }

  const ResumeRequest& request_;
  Communicator& communicator_;
  Origin origin_;
  uint64_t step_ = 0;
};

// On a shared file system two ranks may see two states of one folder.
void expect_same_step(const Resumed& resumed, Communicator& communicator) {
  const auto all = gather_values(communicator, resumed.step, "all_gather (checkpoint loaded)");
  for (size_t rank = 1; rank < all.size(); ++rank)
    if (all[rank] != all[0])
      throw DataError(resumed.path.string(), ": expected all ranks to resume from one step; found ", all[0],
                      " on rank 0 and ", all[rank], " on rank ", rank, "; start again once both see the same files");
}

void set_later_aside(const ResumeRequest& request, uint64_t step, Log& log) {
  FileLayer files;
  for (const fs::path& moved : set_aside_after(request.run / "checkpoints", step, files))
    log.warn("set aside: ", moved.string(), " came after step ", step,
             ", from which the run goes on; no resume chooses it, remove it when it is not needed");
}

}  // namespace

std::optional<Resumed> resume(const ResumeRequest& request, Communicator& communicator, Log& log) {
  const std::vector<fs::path> candidates = candidates_of(request, communicator);
  if (candidates.empty() && request.from == "auto") return std::nullopt;
  if (candidates.empty()) throw DataError(request.from, ": expected a checkpoint or a run folder with one; found none");
  Attempt attempt(request, communicator);
  for (const fs::path& path : candidates) {
    const std::string refusal = attempt.load(path);
    if (refusal.empty()) {
      const Resumed resumed{path, attempt.step()};
      expect_same_step(resumed, communicator);
      report_differences(attempt.origin(), request.is_strict, log);
      if (communicator.rank() == 0) set_later_aside(request, resumed.step, log);
      return resumed;
    }
    if (candidates.size() == 1) throw DataError(refusal);
    const std::string line = concat("checkpoint refused, trying the one before: ", refusal);
    communicator.rank() == 0 ? log.warn(line) : log.detail(line);
  }
  throw DataError(request.from == "auto" ? request.run.string() : request.from,
                  ": expected a whole checkpoint; found only damaged ones; see the warnings");
}

}  // namespace rehearse
