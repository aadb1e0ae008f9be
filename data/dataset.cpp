#include "data/dataset.h"

#include <cstdio>

namespace rehearse {

namespace {
constexpr size_t kStableIdTextBytes = 17;
}

std::string stable_id_text(uint64_t id) {
  char text[kStableIdTextBytes + 1];
  std::snprintf(text, sizeof(text), "#%016llx", static_cast<unsigned long long>(id));
  return text;
}

}  // namespace rehearse
