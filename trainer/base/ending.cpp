#include "trainer/base/ending.h"

#include <filesystem>
#include <new>

#include "trainer/base/error.h"

namespace rehearse {

Ending ending_of(const std::exception& failure) {
  constexpr const char* kNoMemory =
      "memory: expected enough for this work; found none left; take smaller pieces or a larger machine";
  if (const auto* known = dynamic_cast<const Error*>(&failure)) return {failure.what(), known->exit_code()};
  if (const auto* disk = dynamic_cast<const std::filesystem::filesystem_error*>(&failure))
    return {concat(disk->path1().string(), ": expected to read or write there; found ", disk->code().message(),
                   "; give rights, or name another place"),
            kExitData};
  if (dynamic_cast<const std::bad_alloc*>(&failure)) return {kNoMemory, kExitComm};
  const std::string text = failure.what();
  const std::string line = text.substr(0, text.find('\n'));
  const auto says = [&line](const char* words) { return line.find(words) != std::string::npos; };
  if (says("DefaultCPUAllocator")) return {kNoMemory, kExitComm};  // libtorch's
  if (says("CUDA") || says("NCCL") || says("cuDNN") || says("cublas"))
    return {concat("device: expected it to work; found ", line, "; resume with --resume auto"), kExitComm};
  return {concat(line, "; this is a bug in rehearse, please report it"), kExitBug};
}

}  // namespace rehearse
