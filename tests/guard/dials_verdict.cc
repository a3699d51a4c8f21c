// SPDX-License-Identifier: Apache-2.0
// dials_verdict FILE…: what ParseDials says of the files, one problem a line; 0, or 78 if there is one.
// dials_verdict --members: every member that the parser knows, as "object member" lines.
#include <cstdio>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "guard/dials_file.h"
#include "guard/members.h"

namespace {

constexpr int kBadDialsFile = 78;
constexpr int kUsage = 64;

void PrintMembers(std::string_view object, std::span<const std::string_view> members) {
  for (const std::string_view member : members) {
    std::printf("%s %s\n", std::string(object).c_str(), std::string(member).c_str());
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.empty()) return kUsage;
  if (arguments.front() == "--members") {
    PrintMembers("group", envdial::guard::kGroupMembers);
    PrintMembers("dial", envdial::guard::kDialMembers);
    PrintMembers("when_stale", envdial::guard::kStaleMembers);
    return 0;
  }
  std::vector<envdial::guard::DialsFile> files;
  for (const std::string& path : arguments) {
    std::ifstream stream(path, std::ios::binary);
    if (!stream) return kUsage;
    // Its last part as the name, so that what is printed does not depend on where the examples are.
    files.push_back({path.substr(path.rfind('/') + 1),
                     std::string(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>())});
  }
  const auto config = envdial::guard::ParseDials(files);
  if (config) return 0;
  for (const auto& problem : config.error()) std::printf("%s\n", problem.ToString().c_str());
  return kBadDialsFile;
}
