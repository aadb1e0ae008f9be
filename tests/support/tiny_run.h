// A run that is over in seconds on two ranks and has everything on: dropout, augmentation, masks and the curriculum.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "tests/support/process.h"

namespace rehearse {

// Steps of the run, and between its checkpoints.
constexpr int kTinySteps = 60;
constexpr int kTinySaveEvery = 10;

// Holds config.yaml, its data, and unbroken/: the run on two ranks that nobody disturbed. Made once a build, shared.
const std::filesystem::path& tiny_folder();

// `rehearse train` of it into another folder.
std::vector<std::string> tiny_train(const std::filesystem::path& run, std::vector<std::string> more = {});

// Polls until `is_true`; false when the time is up.
bool wait_until(double timeout_s, const std::function<bool()>& is_true);
// The last step that the run's metrics.jsonl tells of; -1: none.
int last_step(const std::filesystem::path& run);
// Waits until `process` has come to a step of the run; false when it ended before.
bool wait_for_step(RunningProcess& process, const std::filesystem::path& run, int step);
// The bytes of a file in the run's last checkpoint.
std::string final_bytes(const std::filesystem::path& run, const std::string& name);
// Lines of `text` that rehearse wrote to say what is wrong, rather than mpirun.
std::vector<std::string> complaints(const std::string& text);

}  // namespace rehearse
