// What a file is that we cannot decode, by its first bytes.
#pragma once

#include <string>

#include "data/speech/sound/byte_source.h"

namespace rehearse {

// "a git-LFS pointer; fetch the file itself with `git lfs pull`": what was found, and what to do.
std::string describe_foreign(const ByteSource& source);

}  // namespace rehearse
