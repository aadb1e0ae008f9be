// The one precompiled header of every target that sees libtorch (rehearse_use_torch_prelude in third_party/cmake). The
// full operator list costs 16 s per file without it and 5 s with it; custom_function.h alone is most of that, so a
// narrower list gains nothing. Never together with fmt or spdlog.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/variable.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>
