// SPDX-License-Identifier: Apache-2.0
//
// An app for the end-to-end tests of the C and C++ clients: app int:MAX_CONCURRENT string:GREETING … prints each change
// of these dials, and for each line on its standard input what it reads by the handles that it has; for the line
// "applied NAME" it tells the sidecar instead, as NAME, which version it runs with. JSON lines, as the one in Go
// prints.
#include <algorithm>
#include <cstdio>
#include <envdial.hpp>
#include <iostream>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

namespace {

std::string Quote(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    char code[8] = {c};
    if (static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\') std::snprintf(code, sizeof code, "\\u%04x", c);
    quoted += code;
  }
  return quoted + "\"";
}

using Handle = std::variant<envdial::Text, envdial::Int, envdial::Float, envdial::Bool, envdial::Duration>;

Handle Find(envdial::Dials& dials, const std::string& type, const char* name) {
  if (type == "int") return dials.Int(name);
  if (type == "float") return dials.Float(name);
  if (type == "bool") return dials.Bool(name);
  if (type == "duration") return dials.Duration(name);
  return dials.Text(name);
}

struct ToJson {
  std::string operator()(const envdial::Text& dial) const { return Quote(dial.Load()); }
  std::string operator()(const envdial::Int& dial) const { return std::to_string(dial.Load()); }
  std::string operator()(const envdial::Bool& dial) const { return dial.Load() ? "true" : "false"; }
  std::string operator()(const envdial::Duration& dial) const { return std::to_string(dial.Load().count()); }
  std::string operator()(const envdial::Float& dial) const {
    std::ostringstream text;
    text.precision(17);
    text << dial.Load();
    return text.str();
  }
};

std::string OriginOf(const Handle& handle) {
  switch (std::visit([](const envdial::Dial& dial) { return dial.origin(); }, handle)) {
    case envdial::Origin::kConsul:
      return "consul";
    case envdial::Origin::kLastKnownGood:
      return "last-known-good";
    case envdial::Origin::kDefault:
      return "default";
    case envdial::Origin::kStaleValue:
      return "stale";
    default:
      return "unknown";
  }
}

const char* StateOf(envdial::Dials& dials) {
  switch (dials.state()) {
    case envdial::State::kReady:
      return "ready";
    case envdial::State::kStale:
      return "stale";
    default:
      return "not_ready";
  }
}

struct Followed {
  std::string type;
  std::string name;
  std::optional<Handle> handle;
  std::string told;
};

class App {
 public:
  App(envdial::Dials& dials, std::vector<Followed> followed) : dials_(dials), followed_(std::move(followed)) {
    FindAll();
    for (Followed& dial : followed_) dial.told = dial.handle ? std::visit(ToJson{}, *dial.handle) : "";
    std::thread(&App::Watch, this, dials_.version()).detach();
  }

  void Answer(const std::string& line) {
    const std::lock_guard lock(mutex_);
    if (line.rfind("applied ", 0) == 0) {
      dials_.Applied(line.substr(line.find(' ') + 1).c_str(), dials_.version());
      std::cout << R"({"Applied":true})" << std::endl;
    } else {
      Read();
    }
  }

 private:
  void Read() {
    std::string values, texts, origins;
    for (const Followed& dial : followed_) {
      if (!dial.handle) continue;
      const std::string name = (values.empty() ? "" : ",") + Quote(dial.name) + ":";
      values += name + std::visit(ToJson{}, *dial.handle);
      texts += name + Quote(std::visit([](const envdial::Dial& any) { return any.text(); }, *dial.handle));
      origins += name + Quote(OriginOf(*dial.handle));
    }
    std::cout << R"({"State":)" << Quote(StateOf(dials_)) << R"(,"Version":)" << dials_.version() << R"(,"Age":)"
              << dials_.age().value_or(std::chrono::nanoseconds(-1)).count() << R"(,"Values":{)" << values
              << R"(},"Texts":{)" << texts << R"(},"Origins":{)" << origins << "}}" << std::endl;
  }

  void FindAll() {
    for (Followed& dial : followed_) {
      try {
        if (!dial.handle) dial.handle = Find(dials_, dial.type, dial.name.c_str());
      } catch (const std::out_of_range&) {
        continue;  // the next dials file may have it
      }
    }
  }

  [[noreturn]] void Watch(std::uint64_t version) {
    for (;;) {
      version = dials_.Wait(version);
      const std::lock_guard lock(mutex_);
      FindAll();
      for (Followed& dial : followed_) {
        const std::string value = dial.handle ? std::visit(ToJson{}, *dial.handle) : "";
        if (std::exchange(dial.told, value) == value) continue;
        std::cout << R"({"Change":{"Name":)" << Quote(dial.name) << R"(,"Value":)" << value << "}}" << std::endl;
      }
    }
  }

  std::mutex mutex_;
  envdial::Dials& dials_;
  std::vector<Followed> followed_;
};

}  // namespace

int main(int argc, char** argv) {
  try {
    std::vector<Followed> followed;
    for (const std::string& argument : std::vector<std::string>(argv + 1, argv + argc)) {
      const std::size_t colon = argument.find(':');
      followed.push_back({argument.substr(0, colon), argument.substr(colon + 1), {}, {}});
    }
    envdial::Dials dials;
    App app(dials, std::move(followed));
    for (std::string line; std::getline(std::cin, line);) app.Answer(line);
    std::quick_exit(0);  // the thread is still reading
  } catch (const std::exception& error) {
    std::cerr << "app: " << error.what() << '\n';
    return 1;
  }
}
