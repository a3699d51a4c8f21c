// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <curl/curl.h>

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/event_loop.h"
#include "base/http_client.h"

namespace envdial::base {

struct EasyDeleter {
  void operator()(CURL* easy) const { ::curl_easy_cleanup(easy); }
};
struct SlistDeleter {
  void operator()(curl_slist* list) const { ::curl_slist_free_all(list); }
};

// One request as libcurl sees it: its easy handle, its deadlines, what has been read of the answer, and which fault an
// end stands for. Internal to the HTTP client, which puts the handle into its multi handle and takes it out.
class HttpExchange {
 public:
  // `on_deadline` is called from the loop when the time for the present step is over.
  HttpExchange(EventLoop& loop, HttpRequest request, std::function<void(Now)> on_deadline);
  HttpExchange(const HttpExchange&) = delete;
  HttpExchange& operator=(const HttpExchange&) = delete;

  // What makes this request one that can't be sent as it is.
  std::optional<HttpError> Check() const;
  // The name that has to be resolved first; none for addresses and Unix sockets.
  std::optional<std::string> NameToResolve() const;
  // Makes the easy handle; `addresses` are those of NameToResolve().
  std::optional<HttpError> Prepare(const std::vector<std::string>& addresses, MonoTime now);

  // No deadline passes after this.
  void Stop() { deadline_.Stop(); }

  CURL* native() const { return easy_.get(); }
  const HttpEndpoint& endpoint() const { return request_.endpoint; }

  // The outcome after libcurl is done with the handle. Leaves this object without its response.
  HttpResult Conclude(CURLcode code);
  // The error for a deadline that has passed now.
  HttpError Overdue() const;
  // "http://127.0.0.1:8500: <reason>".
  HttpError Error(HttpFault fault, std::string_view reason) const;

 private:
  enum class Step { kResolve, kConnect, kAnswer };
  enum class Excess { kNone, kHeaders, kBody };

  static int OnRequest(void* self, char* remote, char* local, int remote_port, int local_port);
  static curl_socket_t OnOpenSocket(void* self, curlsocktype purpose, curl_sockaddr* address);
  static std::size_t OnHeader(char* data, std::size_t size, std::size_t count, void* self);
  static std::size_t OnBody(char* data, std::size_t size, std::size_t count, void* self);

  void SetUrl(const std::vector<std::string>& addresses);
  void SetRequest();
  void SetLimits(MonoTime now, std::size_t addresses);
  bool TakeHeader(std::string_view line);
  void AddHeader(std::string_view line);
  bool TakeBody(std::string_view bytes);
  HttpError Failed(CURLcode code) const;
  std::string Reason(CURLcode code) const;

  HttpRequest request_;
  MonoTime started_;
  Step step_ = Step::kResolve;
  HttpResponse response_;
  std::size_t header_bytes_ = 0;
  bool headers_ended_ = false;
  Excess excess_ = Excess::kNone;               // of what there was too much, so that we stopped the transfer
  std::array<char, CURL_ERROR_SIZE> reason_{};  // libcurl's own words
  std::unique_ptr<curl_slist, SlistDeleter> header_list_;
  std::unique_ptr<curl_slist, SlistDeleter> resolve_list_;
  std::unique_ptr<curl_slist, SlistDeleter> connect_list_;
  std::unique_ptr<CURL, EasyDeleter> easy_;
  Timer deadline_;
};

}  // namespace envdial::base
