// SPDX-License-Identifier: Apache-2.0
#include "sidecar/sidecar_request.h"

#include <nlohmann/json.hpp>

#include "sidecar/options.h"

namespace envdial::sidecar {

base::HttpRequest RequestTo(const std::string& run_dir, const std::string& target) {
  base::HttpRequest request;
  request.endpoint.scheme = base::HttpEndpoint::Scheme::kUnix;
  request.endpoint.socket_path = run_dir + "/" + kSocketName;
  request.target = target;
  return request;
}

std::string ErrorOf(const base::HttpResponse& response) {
  const auto json = nlohmann::json::parse(response.body, nullptr, false);
  if (json.is_object() && json.contains("error") && json["error"].is_string()) return json["error"].get<std::string>();
  return "the sidecar answered " + std::to_string(response.status);
}

std::string NoSidecarIn(const std::string& run_dir, const std::string& why) {
  return "no sidecar answers in " + run_dir + " (" + why + "); is --run-dir the one it was started with?";
}

}  // namespace envdial::sidecar
