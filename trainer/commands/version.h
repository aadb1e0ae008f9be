// What this binary is made of; every run's log begins with it.
#pragma once

#include <map>
#include <string>

namespace rehearse {

// Library name to version, of everything linked.
std::map<std::string, std::string> linked_versions();
// Several lines: product, commit, build options, libraries.
std::string version_text();

}  // namespace rehearse
