// One line of comma-separated values (RFC 4180, a record in one line).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rehearse::images {

// Fields of the line; quotes around a field go, "" within them is one. False: a quotation mark where none may be, or
// none at the end of a field that began with one. `fields` is reused.
bool split_csv(std::string_view line, std::vector<std::string>& fields);

}  // namespace rehearse::images
