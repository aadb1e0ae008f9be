#include "data/speech/import/rejected_source.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "trainer/base/error.h"
#include "trainer/base/files.h"

namespace rehearse {

std::string reason_without_path(const std::string& path, const std::string& message) {
  return !path.empty() && message.starts_with(path + ": ") ? message.substr(path.size() + 2) : message;
}

void write_rejected(const std::string& path, const std::vector<RejectedSource>& rejected) {
  if (rejected.empty()) {
    std::error_code ignored;
    fs::remove(path, ignored);
    return;
  }
  std::string text;
  for (const auto& [source, reason] : rejected) {
    nlohmann::ordered_json line = {{"source", source}, {"reason", reason}};
    text += line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }
  FileLayer files;
  replace_text(files, path, text);
}

namespace {

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%", 100 * share);
  return text;
}

double share_of(size_t num_rejected, size_t num_used) {
  const size_t all = num_rejected + num_used;
  return all == 0 ? 0 : static_cast<double>(num_rejected) / static_cast<double>(all);
}

}  // namespace

std::string left_out_text(size_t num_rejected, size_t num_used) {
  return concat(num_rejected, " of ", num_rejected + num_used, " (", percent(share_of(num_rejected, num_used)),
                ") left out");
}

void expect_few_rejected(const std::string& written, const std::vector<RejectedSource>& rejected, size_t num_used,
                         double max_share) {
  const double share = share_of(rejected.size(), num_used);
  if (share <= max_share) return;
  throw DataError(written, ": expected at most ", percent(max_share), " left out; found ", percent(share), " (",
                  rejected.size(), " of ", rejected.size() + num_used, "), the first ", rejected[0].source, ": ",
                  rejected[0].reason, "; the others are written and can be used; see rejected.jsonl there, or raise ",
                  "--max-rejected-share");
}

}  // namespace rehearse
