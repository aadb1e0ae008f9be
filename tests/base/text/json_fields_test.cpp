#include "trainer/base/text/json_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rehearse {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string failure_of(const std::string& text) {
  try {
    parse_json_object(text, "f:1");
  } catch (const DataError& failure) {
    return failure.what();
  }
  return "no failure";
}

TEST(JsonFields, WhatIsNoJsonIsNamedByTheFieldItStandsIn) {
  EXPECT_EQ(failure_of(R"({"a": 1, "b": NaN})"), "f:1: b: expected one JSON object; found NaN");
  EXPECT_EQ(failure_of(R"({"a": 1, "b": -Infinity})"), "f:1: b: expected one JSON object; found Infinity");
  EXPECT_EQ(failure_of(R"({"a": 1e400})"), "f:1: a: expected a number that fits 64 bits; found a larger one");
  EXPECT_EQ(failure_of(R"({"a": 1)"), "f:1: a: expected one JSON object; found the end of the line");
  EXPECT_EQ(failure_of(R"({"a": 1, "a": 1})"), "f:1: a: expected once in a line; found twice");
  EXPECT_EQ(failure_of(R"({"a": {"x": 1}, "b": {"x": 1}})"), "no failure") << "fields of its own each";
  EXPECT_THAT(failure_of("nonsense"), StartsWith("f:1: expected one JSON object; found \"nonsense\""));
  EXPECT_EQ(failure_of("[1, 2]"), "f:1: expected one JSON object; found [1,2]");
}

TEST(JsonFields, NoDepthOfNestingEndsTheProgram) {
  const std::string deep(1 << 20, '[');
  EXPECT_THAT(failure_of("{\"a\": " + deep), HasSubstr("nested 64 deep"));
  EXPECT_THAT(failure_of(deep), HasSubstr("nested 64 deep"));
}

TEST(JsonFields, MessagesHoldNothingThatMovesTheCursor) {
  const nlohmann::json object = {{"a", "\x1b[2J\u202e\x7f"}};
  try {
    JsonFields(object, "f:1", " (sample 1)").number("a");
    FAIL();
  } catch (const DataError& failure) {
    EXPECT_STREQ(failure.what(), "f:1: a: expected a number; found \"\\u001b[2J\\u{202e}\\x7f\" (sample 1)");
  }
}

TEST(JsonFields, NullIsAbsentAndAnotherTypeIsNot) {
  const nlohmann::json object = {{"none", nullptr}, {"text", "1"}, {"flag", true}, {"less", -1}};
  const JsonFields fields(object, "f:1");
  EXPECT_FALSE(fields.is_given("none"));
  EXPECT_FALSE(fields.is_given("absent"));
  EXPECT_EQ(fields.text("none"), "");
  for (const char* name : {"text", "flag"}) EXPECT_THROW(fields.number(name), DataError) << name;
  for (const char* name : {"text", "flag", "less"}) EXPECT_THROW(fields.count(name), DataError) << name;
  for (const char* name : {"flag", "less"}) EXPECT_THROW(fields.text(name), DataError) << name;
}

}  // namespace
}  // namespace rehearse
