#include "trainer/observe/pictures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/data/text/text_support.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

ShownPictures two_pictures() {
  return {7, {{"a \"b\"", "dark", 0.25, false, std::string("\x89PNG\0", 5)}, {"c", "bright", 0.01, true, "png"}}};
}

TEST(Pictures, ComeBackAsTheyWereWritten) {
  const TemporaryFolder folder("pictures");
  FileLayer files;
  EXPECT_TRUE(read_pictures(folder.path()).pictures.empty()) << "none were written";
  write_pictures(files, folder.path(), two_pictures());
  write_pictures(files, folder.path(), two_pictures());  // of the next validation
  const ShownPictures read = read_pictures(folder.path());
  EXPECT_EQ(read.step, 7u);
  ASSERT_EQ(read.pictures.size(), 2u);
  EXPECT_EQ(read.pictures[0].name, "a \"b\"");
  EXPECT_EQ(read.pictures[0].domain, "dark");
  EXPECT_EQ(read.pictures[0].error, 0.25);
  EXPECT_EQ(read.pictures[0].png, std::string("\x89PNG\0", 5));
  EXPECT_FALSE(read.pictures[0].is_best);
  EXPECT_TRUE(read.pictures[1].is_best);
  EXPECT_TRUE(fs::exists(folder.path() / "pictures/worst-1.png") && fs::exists(folder.path() / "pictures/best-2.png"));
}

TEST(Pictures, AListThatIsNoListIsADataError) {
  const TemporaryFolder folder("pictures");
  FileLayer files;
  make_folder(folder.path() / "pictures");
  for (const char* text : {"", "[]", "{\"step\": 1, \"pictures\": [{}]}", "{\"step\": 1, \"pictures\": 5}",
                           "{\"step\": 1, \"pictures\": [{\"file\": \"../../away.png\"}]}"}) {
    write_text(files, folder.path() / "pictures/pictures.json", text);
    EXPECT_THROW(read_pictures(folder.path()), DataError) << text;
  }
}

}  // namespace
}  // namespace rehearse
