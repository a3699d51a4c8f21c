// SPDX-License-Identifier: Apache-2.0
#include "sidecar/client_commands.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "base/fetch.h"
#include "guard/check.h"
#include "guard/dials_file.h"
#include "sidecar/command_line.h"
#include "sidecar/load_dials.h"
#include "sidecar/sidecar_request.h"
#include "sidecar/status.h"

namespace envdial::sidecar {
namespace {

constexpr int kExitStale = 3;
constexpr int kExitNotReady = 4;

base::Result<base::HttpResponse> Ask(const std::string& run_dir, const std::string& target) {
  return base::Fetch(RequestTo(run_dir, target));
}

int Complain(const std::string& message) {
  std::fprintf(stderr, "envdial: %s\n", message.c_str());
  return kExitFailure;
}

int NoSidecar(const std::string& run_dir, const base::Error& error) {
  return Complain(NoSidecarIn(run_dir, error.message));
}

void Print(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

}  // namespace

int Get(const CommandLine& line) {
  // A name that is none can't be a dial's; it must not get into a request's target.
  const auto is_name = [](const std::string& name) {
    return name.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") ==
           std::string::npos;
  };
  if (!is_name(line.name)) {
    return Complain("\"" + line.name + "\" is no env name, expected letters, digits and _ as in MAX_CONCURRENT");
  }
  const auto response = Ask(line.run_dir, "/v1/values/" + line.name);
  if (!response) return NoSidecar(line.run_dir, response.error());
  if (response->status != 200) return Complain(line.name + ": " + ErrorOf(*response));
  Print(response->body + "\n");
  return kExitOk;
}

int Status(const CommandLine& line) {
  const auto status = Ask(line.run_dir, "/v1/status");
  if (!status) return NoSidecar(line.run_dir, status.error());
  const auto json = nlohmann::json::parse(status->body, nullptr, false);
  if (status->status != 200 || !json.is_object() || !json.contains("state")) return Complain(ErrorOf(*status));
  if (line.json) {
    Print(status->body + "\n");
  } else {
    const auto snapshot = Ask(line.run_dir, "/v1/snapshot");
    if (!snapshot) return NoSidecar(line.run_dir, snapshot.error());
    const auto table = FormatStatus(status->body, snapshot->body, base::ReadClock().wall);
    if (!table) return Complain(table.error().message);
    Print(*table);
  }
  if (json["state"] == "ready") return kExitOk;
  return json["state"] == "stale" ? kExitStale : kExitNotReady;
}

int Probe(const CommandLine& line) {
  const std::string target = line.probe == "startup" ? "/startupz" : line.probe == "ready" ? "/readyz" : "/livez";
  const auto response = Ask(line.run_dir, target);
  if (!response) return NoSidecar(line.run_dir, response.error());
  return response->status == 200 ? kExitOk : Complain(line.probe + ": " + ErrorOf(*response));
}

int Check(const CommandLine& line) {
  const auto config = LoadDialsFiles({line.file});
  if (!config) return config.error();
  bool refused = false;
  for (const guard::TryResult& result : guard::TryValues(*config, line.tries)) {
    refused |= result.refused;
    Print(result.line + "\n");
  }
  if (line.tries.empty()) {
    Print(line.file + ": good (dials: " + std::to_string(config->dials.size()) +
          ", groups: " + std::to_string(config->groups.size()) + ")\n");
  }
  return refused ? kExitFailure : kExitOk;
}

}  // namespace envdial::sidecar
