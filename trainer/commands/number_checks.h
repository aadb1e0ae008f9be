// Checks of number options, for CLI11's check(): they say what was expected and found, and show it in --help.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>

namespace rehearse {

CLI::Validator at_least(int64_t least);                     // a whole number
CLI::Validator whole_between(int64_t least, int64_t most);  // both ends belong to it
CLI::Validator number_between(double least, double most);   // may have a fraction

}  // namespace rehearse
