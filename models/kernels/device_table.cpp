#include "models/kernels/device_table.h"

#include <optional>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

std::optional<DeviceTable> installed;

}  // namespace

DeviceTable::DeviceTable(std::span<const DeviceEntry> entries) {
  for (const DeviceEntry& entry : entries) {
    const bool is_new = functions_.emplace(entry.name, entry.function).second;
    REHEARSE_CHECK(is_new, "one function of a name; found two of ", entry.name);
  }
}

DeviceTable::Untyped DeviceTable::find(const char* name) const {
  const auto found = functions_.find(std::string_view(name));
  REHEARSE_CHECK(found != functions_.end(), "a plug-in of this ABI has the function ", name);
  return found->second;
}

std::vector<std::string> DeviceTable::names() const {
  std::vector<std::string> names;
  for (const auto& [name, function] : functions_) names.push_back(name);
  return names;
}

const DeviceTable* installed_device_table() {
  return installed ? &*installed : nullptr;
}

void install_device_table(std::span<const DeviceEntry> entries) {
  installed.emplace(entries);
}

}  // namespace rehearse
