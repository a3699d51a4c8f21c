// SPDX-License-Identifier: Apache-2.0
#include "guard/dials_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace envdial::guard {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

namespace fs = std::filesystem;

std::string ReadAll(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  EXPECT_TRUE(stream) << path;
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

std::vector<fs::path> Examples(const std::string& kind) {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(fs::path(DIALS_EXAMPLES) / kind)) {
    if (entry.path().extension() == ".json") paths.push_back(entry.path());
  }
  return paths;
}

std::vector<std::string> Problems(const std::vector<DialsFile>& files) {
  const auto config = ParseDials(files);
  std::vector<std::string> lines;
  if (!config) {
    for (const Problem& problem : config.error()) lines.push_back(problem.ToString());
  }
  return lines;
}

std::vector<std::string> ProblemsOfOne(const OneDial& dial) {
  const auto config = ParseOneDial(dial);
  std::vector<std::string> lines;
  if (!config) {
    for (const Problem& problem : config.error()) lines.push_back(problem.ToString());
  }
  return lines;
}

TEST(DialsFile, EveryGoodExampleIsRead) {
  const auto paths = Examples("good");
  EXPECT_GE(paths.size(), 12u);
  for (const fs::path& path : paths) {
    EXPECT_THAT(Problems({{path.filename(), ReadAll(path)}}), IsEmpty()) << path;
  }
}

TEST(DialsFile, EveryBadExampleIsToldAsExpected) {
  const auto paths = Examples("bad");
  EXPECT_GE(paths.size(), 45u);
  for (const fs::path& path : paths) {
    std::string told;
    for (const std::string& line : Problems({{path.filename(), ReadAll(path)}})) told += line + "\n";
    EXPECT_EQ(told, ReadAll(fs::path(path).replace_extension(".txt"))) << path;
    EXPECT_FALSE(told.empty()) << path;
  }
}

TEST(DialsFile, PlansExampleSaysWhatItSays) {
  const auto config = ParseDials({{"plan.json", ReadAll(fs::path(DIALS_EXAMPLES) / "good/plan.json")}});
  ASSERT_TRUE(config);
  ASSERT_THAT(config->dials, SizeIs(2));
  const Dial& dial = config->dials[0];
  EXPECT_EQ(dial.env, "MAX_CONCURRENT");
  EXPECT_EQ(dial.key, "hunt/max-concurrent");
  EXPECT_EQ(dial.type, Type::kInt);
  EXPECT_EQ(dial.default_value, "500");
  EXPECT_EQ(dial.min, "1");
  EXPECT_EQ(dial.max, "2500");
  ASSERT_TRUE(dial.max_step);
  EXPECT_EQ(dial.max_step->amount, 100);
  EXPECT_TRUE(dial.max_step->percent);
  EXPECT_EQ(dial.max_step->text, "100%");
  EXPECT_EQ(dial.stale_after, std::chrono::seconds(30));
  EXPECT_THAT(config->dials[1].one_of, ElementsAre("easy", "hard"));
  ASSERT_THAT(config->groups, SizeIs(1));
  EXPECT_EQ(config->groups[0].name, "hunt/");
  EXPECT_TRUE(config->groups[0].is_prefix);
  EXPECT_FALSE(config->groups[0].atomic);
  EXPECT_THAT(config->groups[0].dials, ElementsAre(0, 1));
}

TEST(DialsFile, EveryMemberArrives) {
  const auto config = ParseDials({{"f", ReadAll(fs::path(DIALS_EXAMPLES) / "good/every-member.json")}});
  ASSERT_TRUE(config);
  const Dial& dial = config->dials.at(0);
  EXPECT_EQ(dial.key, "hunt/live/limits/max-concurrent");
  EXPECT_EQ(dial.unit, "hunts");
  EXPECT_EQ(dial.description, "How many hunts may run at the same time in one pod.");
  EXPECT_THAT(dial.one_of, ElementsAre("1", "500", "1000", "2500"));
  EXPECT_EQ(dial.max_bytes, 20u);
  EXPECT_EQ(dial.on_violation, OnViolation::kClamp);
  EXPECT_EQ(dial.on_delete, OnDelete::kDefault);
  EXPECT_EQ(dial.stale_after, std::chrono::minutes(5));
  EXPECT_EQ(dial.when_stale, Dial::WhenStale::kValue);
  EXPECT_EQ(dial.stale_value, "1");
  EXPECT_TRUE(config->groups.at(0).atomic);
}

TEST(DialsFile, DefaultsOfWhatIsNotThere) {
  const auto config = ParseDials({{"f", R"({"dials": [{"env": "A", "key": "a/b", "type": "json"},
                                                      {"env": "B", "key": "b", "type": "int"}]})"}});
  ASSERT_TRUE(config);
  const Dial& dial = config->dials.at(0);
  EXPECT_FALSE(dial.default_value || dial.min || dial.max || dial.max_step || dial.stale_value);
  EXPECT_THAT(dial.one_of, IsEmpty());
  EXPECT_EQ(dial.max_bytes, kMaxValueBytes);
  EXPECT_EQ(config->dials.at(1).max_bytes, kDefaultMaxBytes);
  EXPECT_FALSE(dial.allow_empty || dial.secret);
  EXPECT_EQ(dial.on_violation, OnViolation::kReject);
  EXPECT_EQ(dial.on_delete, OnDelete::kKeep);
  EXPECT_EQ(dial.when_stale, Dial::WhenStale::kHold);
  EXPECT_EQ(dial.stale_after, std::chrono::seconds(30));
  ASSERT_THAT(config->groups, SizeIs(2));
  EXPECT_EQ(config->groups[0].name, "a/b");
  EXPECT_FALSE(config->groups[0].is_prefix);
  EXPECT_THAT(config->groups[1].dials, ElementsAre(1));
}

TEST(DialsFile, ValuesAreKeptAsWritten) {
  const auto value = [](const std::string& type, const std::string& text) {
    const auto config = ParseDials({{"f", R"({"dials": [{"env": "A", "key": "a", "type": ")" + type +
                                              R"(", "default": )" + text + "/* here */}]}"}});
    return config ? config->dials[0].default_value : std::nullopt;
  };
  EXPECT_EQ(value("float", "0.50"), "0.50");
  EXPECT_EQ(value("float", "1E+05"), "1E+05");
  EXPECT_EQ(value("float", "-0"), "-0");
  EXPECT_EQ(value("float", "5"), "5");
  EXPECT_EQ(value("float", "123456789012345678901234567890"), "123456789012345678901234567890");
  EXPECT_EQ(value("int", "-9223372036854775808"), "-9223372036854775808");
  EXPECT_EQ(value("bool", "true"), "true");
  EXPECT_EQ(value("duration", R"(" 60s ")"), "60s");
  EXPECT_EQ(value("string", R"(" \u0061\n ")"), " a\n ");
  EXPECT_EQ(value("json", R"(" [1,  2.50]")"), " [1,  2.50]");
}

TEST(DialsFile, SeveralFilesAreOneConfiguration) {
  const auto config = ParseDials({
      {"a.json", R"({"prefix": "hunt/", "dials": [{"env": "A", "key": "a", "type": "int"}]})"},
      {"b.json", R"({"dials": [{"env": "B", "key": "b", "type": "int"}, {"env": "C", "key": "c", "type": "int"}]})"},
      {"c.json", R"({"prefix": "hunt/live/", "atomic": true, "dials": [{"env": "D", "key": "a", "type": "int"}]})"},
  });
  ASSERT_TRUE(config);
  ASSERT_THAT(config->groups, SizeIs(4));
  EXPECT_THAT(config->groups[0].dials, ElementsAre(0));
  EXPECT_EQ(config->groups[1].name, "b");
  EXPECT_THAT(config->groups[2].dials, ElementsAre(2));
  EXPECT_EQ(config->groups[3].name, "hunt/live/");
  EXPECT_TRUE(config->groups[3].atomic);
  EXPECT_THAT(config->groups[3].dials, ElementsAre(3));
  EXPECT_EQ(config->dials[3].key, "hunt/live/a");
}

TEST(DialsFile, WhatFilesMustNotShareIsTold) {
  EXPECT_THAT(Problems({
                  {"a.json", R"({"prefix": "hunt/", "dials": [{"env": "A", "key": "live/a", "type": "int"}]})"},
                  {"b.json", R"({"prefix": "hunt/live/", "dials": [{"env": "A", "key": "a", "type": "int"}]})"},
                  {"c.json", R"({"prefix": "hunt/", "dials": [{"env": "C", "key": "c", "type": "int"}]})"},
              }),
              ElementsAre(R"(b.json: $.dials[0].env: "A" is taken: $.dials[0].env in a.json has it too)",
                          R"(b.json: $.dials[0].key: "hunt/live/a" is taken: $.dials[0].key in a.json has it too)",
                          R"(c.json: $.prefix: "hunt/" is taken: $.prefix in a.json has it too; )"
                          R"(expected all dials of one prefix in one file)"));
}

TEST(DialsFile, AFileThatCannotBeReadHidesNoOtherFilesProblems) {
  EXPECT_THAT(
      Problems({{"a.json", "{"}, {"b.json", R"({"dials": []})"}}),
      ElementsAre("a.json: line 1, column 2: found the end of the text, expected a member's name in double quotes",
                  "b.json: $.dials: found an empty array, expected an array of at least one dial"));
}

TEST(DialsFile, AFileTooLargeIsNotRead) {
  EXPECT_THAT(Problems({{"a.json", std::string(kMaxDialsFileBytes + 1, ' ')}}),
              ElementsAre("a.json: has 4194305 bytes; at most 4194304 are read"));
}

TEST(DialsFile, TooManyChoicesAreRefused) {
  std::string list = "0";
  for (int i = 1; i <= 1000; ++i) list += ", " + std::to_string(i);
  EXPECT_THAT(
      Problems({{"a", R"({"dials": [{"env": "A", "key": "a", "type": "int", "one_of": [)" + list + "]}]}"}}),
      ElementsAre("a: $.dials[0].one_of: found an array of 1001 values, expected an array of 1 to 1000 values"));
}

TEST(DialsFile, CutShortAnywhereIsAProblemAndNothingWorse) {
  const std::string text = ReadAll(fs::path(DIALS_EXAMPLES) / "good/plan.json");
  for (std::size_t length = 0; length + 1 < text.size() - 1; ++length) {
    EXPECT_THAT(Problems({{"f", text.substr(0, length)}}), SizeIs(1)) << length;
  }
}

OneDial PlansDial() {
  OneDial dial;
  dial.key = "hunt/max-concurrent";
  dial.env = "MAX_CONCURRENT";
  dial.type = "int";
  dial.default_value = "500";
  dial.min = "1";
  dial.max = "2500";
  return dial;
}

TEST(OneDialForm, SaysWhatTheFileSays) {
  OneDial typed = PlansDial();
  typed.max_step = "100%";
  typed.on_violation = "clamp";
  typed.on_delete = "default";
  typed.stale_after = "5m";
  typed.when_stale = R"({"value": 7})";
  const auto config = ParseOneDial(typed);
  ASSERT_TRUE(config);
  ASSERT_THAT(config->dials, SizeIs(1));
  const Dial& dial = config->dials[0];
  EXPECT_EQ(dial.env, "MAX_CONCURRENT");
  EXPECT_EQ(dial.default_value, "500");
  EXPECT_EQ(dial.min, "1");
  EXPECT_EQ(dial.max, "2500");
  EXPECT_EQ(dial.max_step->text, "100%");
  EXPECT_EQ(dial.on_violation, OnViolation::kClamp);
  EXPECT_EQ(dial.on_delete, OnDelete::kDefault);
  EXPECT_EQ(dial.stale_after, std::chrono::minutes(5));
  EXPECT_EQ(dial.stale_value, "7");
  ASSERT_THAT(config->groups, SizeIs(1));
  EXPECT_EQ(config->groups[0].name, "hunt/max-concurrent");
  EXPECT_FALSE(config->groups[0].is_prefix);
}

TEST(OneDialForm, EveryTypeIsTypedPlainly) {
  const auto value = [](const std::string& type, const std::string& text) {
    OneDial dial;
    dial.key = "k";
    dial.env = "A";
    dial.type = type;
    dial.default_value = text;
    const auto config = ParseOneDial(dial);
    return config ? config->dials[0].default_value : std::nullopt;
  };
  EXPECT_EQ(value("int", "5"), "5");
  EXPECT_EQ(value("float", "0.50"), "0.50");
  EXPECT_EQ(value("bool", "true"), "true");
  EXPECT_EQ(value("bool", "yes"), std::nullopt);
  EXPECT_EQ(value("duration", "5s"), "5s");
  EXPECT_EQ(value("string", " text "), " text ");
  EXPECT_EQ(value("json", "{}"), "{}");
}

TEST(OneDialForm, ProblemsAreToldByFlag) {
  OneDial dial = PlansDial();
  dial.env = "MAX-CONCURRENT";
  dial.key = "/hunt";
  dial.default_value = "0x10";
  dial.max = "many";
  dial.max_step = "half";
  dial.on_violation = "clmp";
  dial.stale_after = "30";
  dial.when_stale = "default";
  const auto lines = ProblemsOfOne(dial);
  ASSERT_THAT(lines, SizeIs(7));
  EXPECT_EQ(lines[0], R"(--key: "/hunt" begins with "/"; Consul's keys begin with a name)");
  EXPECT_THAT(lines[1], ::testing::HasSubstr(R"(--env: "MAX-CONCURRENT" is not an env name)"));
  EXPECT_THAT(lines[2], ::testing::HasSubstr(R"(--default: fails the dial's own guard (type): "0x10" is not an int)"));
  EXPECT_THAT(lines[3], ::testing::HasSubstr(R"(--max: "many" is not an int)"));
  EXPECT_THAT(lines[4], ::testing::HasSubstr(R"(--max-step: "half" is not an int)"));
  EXPECT_EQ(lines[5], R"(--on-violation: found "clmp", expected "reject" or "clamp"; did you mean "clamp"?)");
  EXPECT_THAT(lines[6], ::testing::HasSubstr(R"(--stale-after: "30" is not a duration)"));
}

TEST(OneDialForm, WhatIsMissingIsTold) {
  EXPECT_THAT(ProblemsOfOne(OneDial{}),
              ElementsAre(R"(--env: is missing; expected the variable's name, such as "MAX_CONCURRENT")",
                          R"(--key: is missing; expected the key in Consul, such as "max-concurrent")",
                          R"(--type: is missing; expected "int", "float", "bool", "duration", "string" or "json")"));
}

TEST(OneDialForm, WhenStaleMayBeJson) {
  OneDial dial = PlansDial();
  dial.when_stale = R"({"value": )";
  EXPECT_THAT(ProblemsOfOne(dial),
              ElementsAre("--when-stale: line 1, column 11: found the end of the text, expected a value"));
  dial.when_stale = R"({"value": 9000})";
  EXPECT_THAT(ProblemsOfOne(dial),
              ElementsAre("--when-stale.value: fails the dial's own guard (max): 9000 is above the "
                          "maximum 2500"));
}

TEST(Problem, ToStringNamesWhatIsKnown) {
  EXPECT_EQ((Problem{"a.json", "$.dials[2]", "m"}).ToString(), "a.json: $.dials[2]: m");
  EXPECT_EQ((Problem{"a.json", "", "m"}).ToString(), "a.json: m");
  EXPECT_EQ((Problem{"", "--min", "m"}).ToString(), "--min: m");
}

}  // namespace
}  // namespace envdial::guard
