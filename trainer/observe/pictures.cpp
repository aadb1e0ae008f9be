#include "trainer/observe/pictures.h"

#include <nlohmann/json.hpp>

#include "trainer/base/error.h"
#include "trainer/base/text/json_fields.h"

namespace rehearse {
namespace {

constexpr const char* kFolder = "pictures";
constexpr const char* kList = "pictures.json";

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

}  // namespace

// The list comes last: it names what is there.
void write_pictures(FileLayer& files, const fs::path& run_folder, const ShownPictures& shown) {
  const fs::path folder = run_folder / kFolder;
  make_folder(folder);
  nlohmann::json list = nlohmann::json::array();
  for (const ShownPicture& one : shown.pictures) {
    const std::string file = concat(one.is_best ? "best-" : "worst-", list.size() + 1, ".png");
    const fs::path unfinished = folder / (file + ".tmp");
    files.write(unfinished, bytes_of(one.png));
    files.rename(unfinished, folder / file);
    list.push_back(
        {{"file", file}, {"name", one.name}, {"domain", one.domain}, {"error", one.error}, {"is_best", one.is_best}});
  }
  replace_text(files, folder / kList, nlohmann::json{{"step", shown.step}, {"pictures", list}}.dump() + "\n");
}

ShownPictures read_pictures(const fs::path& run_folder) {
  const fs::path folder = run_folder / kFolder, list = folder / kList;
  ShownPictures shown;
  if (!fs::exists(list)) return shown;
  const nlohmann::json json = parse_json(read_text(list), list.string());
  const JsonFields fields(json, list.string());
  shown.step = fields.count("step");
  for (const nlohmann::json& item : fields.list("pictures")) {
    const JsonFields one(item, concat(list.string(), ": pictures[", shown.pictures.size(), "]"));
    const fs::path file = fs::path(one.required_text("file")).filename();  // beside the list and nowhere else
    shown.pictures.push_back({.name = one.text("name"),
                              .domain = one.text("domain"),
                              .error = one.number("error"),
                              .is_best = one.boolean("is_best", false),
                              .png = read_text(folder / file)});
  }
  return shown;
}

}  // namespace rehearse
