// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target on every file of the folders that are given, without libFuzzer: what was found once is tried in
// every build. A folder without a file is an error, as nothing would be tested.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz.h"

namespace {

std::vector<std::filesystem::path> FilesOf(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

bool Replay(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  if (!stream) {
    std::cerr << file << ": cannot be read\n";
    return false;
  }
  std::cerr << file.filename().string() << std::endl;  // the last line then tells which one ended the process
  // A copy without anything behind it, so that the sanitizers see a read beyond its end.
  const std::vector<std::uint8_t> input(bytes.begin(), bytes.end());
  LLVMFuzzerTestOneInput(input.data(), input.size());
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> folders(argv + 1, argv + argc);
  if (folders.empty()) {
    std::cerr << "usage: " << argv[0] << " FOLDER…\n";
    return 64;
  }
  for (const std::string& folder : folders) {
    const auto files = FilesOf(folder);
    if (files.empty()) {
      std::cerr << folder << ": there is no file to replay\n";
      return 1;
    }
    if (!std::all_of(files.begin(), files.end(), Replay)) return 1;
  }
  return 0;
}
