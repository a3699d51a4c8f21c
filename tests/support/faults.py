# SPDX-License-Identifier: Apache-2.0
"""Everything that can go wrong between a sidecar and its Consul, in one table, for a real one and a made-up one."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from support.kv_http import Answer

INVENTED = 666  # what the lies tell that nobody ever put
_BIG_BODY = 80 * 1024 * 1024
_PIECE = bytes(64 * 1024)
_TRICKLE_SECONDS = 0.1


def honest(answer, _request, _consul):
    return answer


def whole(wire, answer):
    """The usual sending. What sends tells whether the connection may be used again."""
    wire.send(answer.wire())
    return True


@dataclass(frozen=True)
class Fault:
    """`lie` makes another answer of the true one, `send` brings it onto the wire."""

    name: str
    reason: str | None  # by which the poll fails; None: the answer serves, and the values go on being right
    shows: str  # what `envdial status` says of it, as a regular expression
    lie: Callable = honest
    send: Callable = whole
    door: str = "open"  # "shut": connections are refused; "full": the kernel drops them
    holds: bool = False  # whether polls are held as Consul holds them; lies come at once
    spares_consistent: bool = False  # whether ?consistent is answered truly
    odd: bool = False  # whether answers that serve are told to be strange


# How an answer comes, or does not.


def swallow(wire, _answer):
    wire.gone()


def stop_after(part):
    def send(wire, answer):
        wire.send(part(answer))
        return wire.gone() and False

    return send


def end_after(part):
    def send(wire, answer):
        wire.send(part(answer))

    return send


def reset_after(part):
    def send(wire, answer):
        wire.send(part(answer))
        wire.reset()

    return send


def trickle(wire, answer):
    for byte in answer.wire():
        wire.send(bytes([byte]))
        if wire.gone(_TRICKLE_SECONDS):
            return


def nothing(_answer):
    return b""


def half_a_head(answer):
    return answer.head()[: len(answer.head()) // 2]


def half_a_body(answer):
    return answer.head() + answer.body[: len(answer.body) // 2]


def too_little(answer):
    return answer.head(length=len(answer.body) + 100) + answer.body


def bad_chunks(answer):
    return answer.head().replace(b"Content-Length: %d" % len(answer.body), b"Transfer-Encoding: chunked") + b"zz\r\nxx"


def another_protocol(_answer):
    return b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"


def big_and_told(wire, answer):
    wire.send(answer.head(length=_BIG_BODY))
    _send_a_lot(wire)


def big_and_untold(wire, answer):
    wire.send(answer.head().replace(b"Content-Length: %d" % len(answer.body), b"Connection: close"))
    _send_a_lot(wire)


def _send_a_lot(wire):
    for _ in range(_BIG_BODY // len(_PIECE)):
        wire.send(_PIECE)


def headers_without_end(wire, answer):
    wire.send(answer.head()[:-2])
    for number in range(1024):
        wire.send(b"X-%d: " % number + b"x" * 1000 + b"\r\n")
    wire.send(b"\r\n" + answer.body)


def interim_answers_without_end(wire, _answer):
    while not wire.gone(0):
        wire.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


def followed_by_another(wire, answer):
    """The next request must not take the second answer for its own."""
    if answer.status == 200:
        invented = json.loads(answer.body)
        for entry in invented:
            entry |= {"Value": _INVENTED_VALUE, "ModifyIndex": entry["ModifyIndex"] + 1}
        second = replace(answer, body=json.dumps(invented).encode()).with_headers(x_consul_index="99999999")
        wire.send(answer.wire() + second.wire())
    return True


def in_http_1_0(wire, answer):
    wire.send(replace(answer, protocol="HTTP/1.0").wire())


# What an answer says.

_INVENTED_VALUE = "NjY2"  # INVENTED in base64
_PAGE = b"<html><body><form action='/login'>Welcome to our network</form></body></html>"


def headers(**changes):
    return lambda answer, _request, _consul: answer.with_headers(**changes)


def status(code, text="", **more):
    told = {name.replace("_", "-"): value for name, value in more.items()}
    return lambda _answer, _request, _consul: Answer(code, {"Content-Type": "text/plain"} | told, text.encode())


def body(data):
    return lambda answer, _request, _consul: replace(answer, body=data)


def entries(**changes):
    """Each entry of the list with other members; None takes one away."""

    def lie(answer, _request, _consul):
        changed = [
            {name: value for name, value in (entry | changes).items() if value is not None}
            for entry in json.loads(answer.body)
        ]
        return replace(answer, body=json.dumps(changed).encode())

    return lie


def page(answer, _request, _consul):
    return replace(answer, headers={"Content-Type": "text/html; charset=utf-8"}, body=_PAGE)


def page_with_consuls_headers(answer, _request, _consul):
    return replace(answer.with_headers(content_type="text/html"), body=_PAGE)


def absent(**changes):
    """As if the keys were not there, with Consul's own headers changed."""

    def lie(answer, _request, _consul):
        return replace(answer, status=404, body=b"").with_headers(**({"content_type": None} | changes))

    return lie


def first_key_missing(answer, request, _consul):
    """The list without its first entry; of a single key, nothing."""
    rest = json.loads(answer.body)[1:]
    if not rest:
        return absent()(answer, request, _consul)
    return replace(answer, body=json.dumps(rest).encode())


def first_key_filtered(answer, request, consul):
    return first_key_missing(answer, request, consul).with_headers(x_consul_results_filtered_by_acls="true")


def older(_answer, request, consul):
    return consul.older(request)


def older_unconfirmed(answer, request, consul):
    return status(500, "No cluster leader")(answer, request, consul) if request.consistent else consul.older(request)


def backwards(answer, request, _consul):
    return answer.with_headers(x_consul_index=str(7 - request.number % 6))


def redirect_to_itself(answer, request, consul):
    return status(302, location=request.target)(answer, request, consul)


def redirect_elsewhere(answer, request, consul):
    port = consul.elsewhere.getsockname()[1]
    return status(301, location=f"http://127.0.0.1:{port}{request.target}")(answer, request, consul)


FAULTS = (
    # Nobody there, or nobody who answers.
    Fault("refused", "refused", "Connection refused", send=end_after(nothing), door="shut"),
    Fault("dropped_before_the_connect", "timeout", "no connection within", send=swallow, door="full"),
    Fault("swallowed", "timeout", "no answer within", send=swallow),
    Fault("stopped_in_the_headers", "timeout", "no end of the answer within", send=stop_after(half_a_head)),
    Fault("stopped_in_the_body", "timeout", "no end of the answer within", send=stop_after(half_a_body)),
    Fault("trickle", "timeout", "no (end of the )?answer within", send=trickle),
    Fault("closed_at_once", "refused", "closed before a byte", send=end_after(nothing)),
    Fault("reset_at_once", "refused", "reset by peer|closed before a byte", send=reset_after(nothing)),
    # Cut short, too much, or no HTTP.
    Fault("reset_in_the_answer", "malformed", "reset by peer|ended inside", send=reset_after(half_a_body)),
    Fault("ended_in_the_headers", "malformed", "ended inside the headers", send=end_after(half_a_head)),
    Fault("truncated", "malformed", "ended inside the answer", send=end_after(too_little)),
    Fault("bad_chunks", "malformed", "chunk", send=end_after(bad_chunks)),
    Fault("no_http", "malformed", "not HTTP", send=end_after(another_protocol)),
    Fault("80_mb_told", "malformed", "more than 16777216 bytes", send=big_and_told),
    Fault("80_mb_untold", "malformed", "more than 16777216 bytes", send=big_and_untold),
    Fault("1_mb_of_headers", "malformed", "more than 64 KiB of headers", send=headers_without_end),
    Fault("a_header_of_1_mb", "malformed", "more than 64 KiB of headers", headers(x_padding="x" * 1024 * 1024)),
    Fault("interim_answers", "malformed", "more than 64 KiB of headers", send=interim_answers_without_end),
    # Errors.
    Fault("403", "denied", "403: Permission denied", status(403, "Permission denied: anonymous lacks key:read")),
    Fault("429_for_a_second", "throttled", "429: slow down", status(429, "slow down", Retry_After="1")),
    Fault("429_for_an_hour", "throttled", "429: slow down", status(429, "slow down", Retry_After="3600")),
    Fault("429_for_garbage", "throttled", "429: slow down", status(429, "slow down", Retry_After="soon")),
    Fault("500", "server", "500: No cluster leader", status(500, "No cluster leader")),
    Fault("503", "server", "503", status(503)),
    Fault("no_leader", "server", "knows no leader", headers(x_consul_knownleader="false")),
    Fault("absent_without_a_leader", "server", "knows no leader", absent(x_consul_knownleader="false")),
    Fault("filtered_away", "denied", "Filtered-By-ACLs", absent(x_consul_results_filtered_by_acls="true")),
    Fault("one_filtered_away", "denied", "Filtered-By-ACLs", first_key_filtered),
    # Not Consul.
    Fault("400", "malformed", "400: Bad Request", status(400, "Bad Request")),
    Fault("login_page", "malformed", "without X-Consul-Index.*proxy", page),
    Fault("page_with_consuls_headers", "malformed", "text/html", page_with_consuls_headers),
    Fault("404_without_an_index", "malformed", "404 without X-Consul-Index", absent(x_consul_index=None)),
    Fault("404_without_a_word_of_the_leader", "malformed", "KnownLeader", absent(x_consul_knownleader=None)),
    Fault("index_is_no_number", "malformed", "X-Consul-Index soon", headers(x_consul_index="soon")),
    Fault("redirect_to_itself", "malformed", "302 to /v1/kv/.*not followed", redirect_to_itself),
    Fault("redirect_elsewhere", "malformed", "301 to http://127.*not followed", redirect_elsewhere),
    Fault("no_content_type", "malformed", "no Content-Type", headers(content_type=None)),
    Fault("empty_body", "malformed", "not JSON", body(b"")),
    Fault("cut_json", "malformed", "not JSON", body(b'[{"Key":')),
    Fault("empty_list", "malformed", "list is empty", body(b"[]")),
    Fault("an_object", "malformed", "no JSON array", body(b'{"Value": "NjY2"}')),
    Fault("a_list_of_numbers", "malformed", "no object", body(b"[666]")),
    Fault("nested_for_ever", "malformed", "nested|no object", body(b"[" * 100_000)),
    Fault("another_key", "malformed", "another key", entries(Key="elsewhere/key", Value=_INVENTED_VALUE)),
    Fault("bad_base64", "malformed", "base64", entries(Value="NjY2!")),
    Fault("value_is_a_number", "malformed", "Value is missing or no string", entries(Value=INVENTED)),
    Fault("no_modify_index", "malformed", "ModifyIndex is no positive", entries(ModifyIndex=None)),
    # Answers that serve: some say less than the truth, but nothing that must be believed.
    Fault("http_1_0", None, "connected", send=in_http_1_0, holds=True),
    Fault("followed_by_another_answer", None, "connected", send=followed_by_another, holds=True),
    Fault("index_0", None, "X-Consul-Index 0", headers(x_consul_index="0"), odd=True),
    Fault("index_backwards", None, "X-Consul-Index went backwards", backwards, odd=True),
    Fault("index_far_ahead", None, "connected", headers(x_consul_index="9000000000")),
    Fault("older_value", None, "an older value", older, spares_consistent=True, odd=True),
    Fault("older_value_unconfirmed", "server", "confirm .*500", older_unconfirmed),
    Fault("hidden_in_silence", None, "GONE AT ONCE|answered to be gone", absent(), spares_consistent=True, odd=True),
    Fault("one_hidden_in_silence", None, "answered to be gone", first_key_missing, spares_consistent=True, odd=True),
)  # fmt: skip


def by_name(name):
    return next(fault for fault in FAULTS if fault.name == name)
