// SPDX-License-Identifier: Apache-2.0
#include "consul/credentials.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/input_file.h"

namespace envdial::consul {
namespace {

namespace fs = std::filesystem;
using base::ErrorKind;
using base::Fail;
using base::Result;

constexpr std::size_t kMaxTokenBytes = 4096;       // a token is a UUID; a JWT would fit too
constexpr std::size_t kMaxPemBytes = 1024 * 1024;  // Debian's file of all public CAs has a fifth of it
constexpr std::size_t kMaxCaFiles = 1000;          // of a CA path: Debian has a third of it, links included

bool IsPipe(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode);
}

Result<std::string> ReadPem(const std::string& path) {
  auto text = base::ReadInputFile(path, kMaxPemBytes);
  if (text && !text->contains("-----BEGIN ")) return Fail(ErrorKind::kInvalid, path + ": expected PEM");
  return text;
}

// All certificates of a directory, as Consul's own command line takes them: whatever the names of the files are.
Result<std::string> ReadCaPath(const std::string& path) {
  std::error_code error;
  std::vector<std::string> files;
  for (fs::directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code broken_link;
    if (entry->is_regular_file(broken_link)) files.push_back(entry->path().string());
    if (files.size() > kMaxCaFiles) {
      return Fail(ErrorKind::kInvalid, path + ": expected at most " + std::to_string(kMaxCaFiles) + " files");
    }
  }
  if (error) return std::unexpected(base::ErrnoError(error.value(), "open " + path));
  std::ranges::sort(files);
  std::string all;
  for (const std::string& file : files) {
    auto text = ReadPem(file);
    if (!text) return text;
    all += *text + "\n";
  }
  if (all.empty()) return Fail(ErrorKind::kInvalid, path + ": expected a file with a PEM certificate in it");
  return all;
}

}  // namespace

Result<std::string> ParseToken(std::string_view text) {
  constexpr std::string_view kWhiteSpace = " \t\r\n";
  text.remove_prefix(std::min(text.find_first_not_of(kWhiteSpace), text.size()));
  text = text.substr(0, text.find_last_not_of(kWhiteSpace) + 1);
  if (std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f; })) return std::string(text);
  return Fail(ErrorKind::kInvalid,
              "the Consul token has a character that can't stand in a header, expected printable ASCII without blanks");
}

Credentials::Credentials(Options& options)
    : options_(options),
      token_(options.token),
      sources_{Source{"CONSUL_HTTP_TOKEN_FILE", options.files.token},
               options.files.ca.empty() ? Source{"CONSUL_CAPATH", options.files.ca_path}
                                        : Source{"CONSUL_CACERT", options.files.ca},
               Source{"CONSUL_CLIENT_CERT", options.files.certificate},
               Source{"CONSUL_CLIENT_KEY", options.files.key}} {}

std::vector<std::string> Credentials::Refresh() {
  const std::vector<std::string> before = std::exchange(troubles_, {});
  std::vector<std::string> changed;
  for (const Kind kind : {kToken, kCa, kCertificate, kKey}) {
    if (Take(kind)) changed.push_back(sources_[kind].path);
  }
  if (!options_.tls || !changed.empty() || troubles_ != before) Apply();
  return changed;
}

Result<std::string> Credentials::Read(Kind kind) const {
  const std::string& path = sources_[kind].path;
  if (kind == kCa) return options_.files.ca.empty() ? ReadCaPath(path) : ReadPem(path);
  if (kind != kToken) return ReadPem(path);
  auto text = base::ReadInputFile(path, kMaxTokenBytes);
  if (!text) return text;
  auto token = ParseToken(*text);
  if (!token) return std::unexpected(std::move(token.error()).Within(path));
  if (token->empty()) return Fail(ErrorKind::kInvalid, path + ": it is empty, expected a token");
  return token;
}

// Whether the file brought something new.
bool Credentials::Take(Kind kind) {
  Source& source = sources_[kind];
  if (source.path.empty() || (std::exchange(source.tried, true) && IsPipe(source.path))) return false;
  auto text = Read(kind);
  if (text) return std::exchange(source.text, *text) != *text;
  const char* instead = !source.text.empty() ? "what it held before stays in force"
                        : kind != kToken     ? "without it there is no connection over TLS"
                        : token_.empty()     ? "Consul is asked without a token"
                                             : "the token of CONSUL_HTTP_TOKEN is used";
  source.trouble = source.variable + ": " + text.error().message;
  troubles_.push_back(source.trouble + "; " + instead);
  return false;
}

void Credentials::Apply() {
  options_.token = sources_[kToken].text.empty() ? token_ : sources_[kToken].text;
  base::TlsOptions tls = options_.tls_options;
  tls.ca = sources_[kCa].text;
  tls.certificate = sources_[kCertificate].text;
  tls.key = sources_[kKey].text;
  for (const Kind kind : {kCa, kCertificate, kKey}) {
    const Source& source = sources_[kind];
    if (!source.path.empty() && source.text.empty()) tls.trouble = source.trouble;
  }
  options_.tls = std::make_shared<const base::TlsOptions>(std::move(tls));
}

}  // namespace envdial::consul
