# SPDX-License-Identifier: Apache-2.0
"""Writes cmake/order.ld: which parts of the image's program are touched by a start, changes and idle polls, first by
http and then what https adds. They are linked side by side, so that few pages have to be in memory; first what runs
between an answer and the replaced env file, in the order of running, since by then other programs have used the
processor's caches. `script/image --order` runs this: order.py DIRECTORY, where the program and its map are, as
`script/image --binary` puts them there.
"""

import bisect
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests"))

from bench import link_map, measures, subjects  # noqa: E402  (found only now)
from support import processes, unix_http  # noqa: E402
from support.waiting import eventually  # noqa: E402

PATIENCE = 300.0  # seconds; under valgrind's lackey a program runs some hundred times slower
LAST = 2006  # by the sixth change the files that are used in turns are all there
ASKED = ("/livez", "/readyz", "/metrics", "/v1/snapshot")
WIDTH = 120
HEAD = """/* SPDX-License-Identifier: Apache-2.0
 * Written by `script/image --order`; tests/bench/order.py tells what it is. A name that is not there any more, or not
 * yet, costs nothing but a page.
 */
"""
# Where what is chosen of a section goes: constants behind the others, next to .eh_frame, whose begin a start reads too;
# before them they would be in memory that is executable.
BESIDE = {".text": "BEFORE", ".rodata": "AFTER"}
OWN_SECTION = re.compile(r"\.(first|https)$")
# Not of one function or datum alone.
SHARED_NAME = re.compile(r"\.(text|rodata)(\.(unlikely|startup|exit|hot|sse\w*|avx\w*|evex\w*))?")
NUMBERED_BY_LTO = re.compile(r"\.lto_priv\.\d+")
# Of what the processor chooses among at run time valgrind's has only one.
CHOSEN_BY_PROCESSOR = re.compile(r"-(avx2|avx512|avx|evex512|evex|sse2|erms|rtm)[^.]*")
# What a start does with the kernel's vDSO is in no trace, since valgrind hides it, and some of libcurl's timers are
# only where one runs out before another.
UNTRACED = [(".text", f"*libc.a:{member}.o(.text .text.*)") for member in ("dl-object", "dl-setup_hash", "dl-lookup")]
UNTRACED.append((".text", "*(.text.Curl_splay*)"))
# Of equal strings and constants, and of strings that end as others do, the linker keeps one, wherever that stands; but
# only of those that it puts into one section of the program. So where one was touched does not tell whose it is. All
# constants go together, and all strings but OpenSSL's. So do all of our own data: some are of no function or datum.
MERGED = re.compile(r"\.rodata\.(.+\.)?(str[\d.]+|cst\d+)")
MERGED_FOR_HTTP = [
    (".rodata", "*.ltrans.o(.rodata .rodata.*)"),
    (".rodata", "*(.rodata.cst*)"),
    (".rodata", "*libcrypto.a:*cpuid.o(.rodata.*.str*)"),  # also where nothing is https: it runs before main()
    (".rodata", "*(EXCLUDE_FILE(*libcrypto.a:* *libssl.a:*) .rodata.str*)"),
    (".rodata", "*(EXCLUDE_FILE(*libcrypto.a:* *libssl.a:*) .rodata.*.str*)"),
]
MERGED_FOR_HTTPS = [(".rodata", "*(.rodata.str* .rodata.*.str*)")]

# Of lackey's trace: the addresses from the last instruction `waits` before an instruction `replaces` to that one, in
# order, then "others", then all.
ADDRESSES_OF_TRACE = r"""
/^(I | [LSM]) / {
  sub(/,.*/, "", $2)
  all[$2]
  if ($1 == "I" && $2 == waits) { under_way = 1; steps = 0; split("", met) }
  if (under_way && !($2 in met)) { met[$2]; way[steps++] = $2 }
  if ($1 == "I" && $2 == replaces && under_way) {
    under_way = 0
    count = steps
    for (i = 0; i < count; i++) last_way[i] = way[i]
  }
}
END {
  for (i = 0; i < count; i++) print last_way[i]
  print "others"
  for (each in all) print each
}
"""


def reading(fifo, linked):
    """A process that reads lackey's trace."""

    def first_instruction(member):
        is_its = re.compile(rf"libc\.a\({member}\)$").search
        return next(each.address for each in linked if each.output.startswith(".text") and is_its(each.file))

    names = {"waits": first_instruction("epoll_wait.o"), "replaces": first_instruction("rename.o")}
    marks = [argument for name, address in names.items() for argument in ("-v", f"{name}={address:08x}")]
    return subprocess.Popen(["awk", *marks, ADDRESSES_OF_TRACE, fifo], stdout=subprocess.PIPE, text=True)


class Traced(subjects.Envdial):
    patience = PATIENCE

    def command(self):
        trace = ["valgrind", "--tool=lackey", "--trace-mem=yes", f"--log-file={self.place.disk / 'trace'}", "--"]
        return [*trace, *super().command(), "--timeout", "10s", "--connect-timeout", "60s"]


def trace(place, consul, source, linked, dials=1, asks=()):
    """The addresses that a life touches: a start, six changes, two idle polls, what is asked of it, the end. First those
    of the last change's way to the env file."""
    subject = Traced(place, source, dials)
    fifo = subject.place.disk / "trace"
    os.mkfifo(fifo)
    awk = reading(fifo, linked)
    try:
        with measures.running(consul, [subject]):
            for value in range(2001, LAST + 1):
                time.sleep(10 if value == LAST else 0)  # the next poll is held by then
                consul.agent.put(subject.keys[0], value)
                eventually("the change is delivered", lambda: f"'{value}'" in subject.file.read_text(), PATIENCE)
            for target in asks:
                unix_http.request(subject.directory / "control.sock", "GET", target, timeout=PATIENCE)
            time.sleep(2 * 10)  # two waits
            os.kill(subject.pid, signal.SIGTERM)
            eventually("it ends", subject.ended, PATIENCE)
        way, _, others = awk.communicate()[0].partition("others\n")
        return [int(line, 16) for line in way.split()] + sorted(int(line, 16) for line in others.split())
    finally:
        processes.kill(awk)


def named(linked, addresses):
    """The linked sections that hold the addresses, as (output section, pattern of the linker's)."""
    starts = [each.address for each in linked]
    for address in addresses:
        at = bisect.bisect(starts, address) - 1
        if at < 0 or address >= linked[at].address + linked[at].size:
            continue
        part = linked[at]
        output = OWN_SECTION.sub("", part.output)
        if output not in BESIDE or MERGED.fullmatch(part.name):
            continue
        archive = re.search(r"([^/]+\.a)\((.+)\)$", part.file)
        if not SHARED_NAME.fullmatch(part.name):
            yield output, f"*({NUMBERED_BY_LTO.sub('.lto_priv.*', part.name)})"
        elif archive:
            yield output, f"*{archive[1]}:{CHOSEN_BY_PROCESSOR.sub('-*', archive[2])}({output} {output}.*)"
        elif ".ltrans" not in part.file:
            yield output, f"*{Path(part.file).name}({output} {output}.*)"


def wrapped(patterns):
    line = "   "
    for pattern in patterns:
        if len(line) + 1 + len(pattern) > WIDTH:
            yield line
            line = "   "
        line += f" {pattern}"
    yield line


def main():
    directory = Path(sys.argv[1]).resolve()
    os.environ["ENVDIAL_BINARY"] = str(directory / "envdial")
    linked = link_map.read(directory / "envdial.map")
    with measures.scratch() as place:
        consul = measures.TestConsul(place, 'limits { https_handshake_timeout = "120s" }')
        try:
            http = trace(place, consul, consul.source(1), linked)
            others = trace(place, consul, consul.source(1), linked, dials=10)  # by a dials file
            others += trace(place, consul, consul.source(1), linked, asks=ASKED)
            https = trace(place, consul, consul.https(), linked)
        finally:
            consul.agent.kill()
    patterns = {
        "first": [*named(linked, http), *UNTRACED, *named(linked, others), *MERGED_FOR_HTTP],
        "https": [*named(linked, https), *MERGED_FOR_HTTPS],
    }
    parts = [HEAD.rstrip()]
    met = set()
    for name, pairs in patterns.items():
        new = [pair for pair in dict.fromkeys(pairs) if pair not in met]
        met.update(new)
        for output, side in BESIDE.items():
            chosen = [pattern for of, pattern in new if of == output]
            parts += ["SECTIONS", "{", f"  {output}.{name} :", "  {", *wrapped(chosen), "  }", "}"]
            parts.append(f"INSERT {side} {output};")
    (TOP / "cmake/order.ld").write_text("\n".join(parts) + "\n")


main()
