# SPDX-License-Identifier: Apache-2.0
"""Writes cmake/order.ld: which parts of the image's program are touched by a start, changes and idle polls, first by
http and then what https adds. They are linked side by side, so that few pages have to be in memory. `script/image
--order` runs this: order.py DIRECTORY, where the program and its map are, as `script/image --binary` puts them there.
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
ASKED = ("/livez", "/readyz", "/metrics", "/v1/snapshot")
WIDTH = 120
HEAD = """/* SPDX-License-Identifier: Apache-2.0
 * Written by `script/image --order`; tests/bench/order.py tells what it is. A name that is not there any more, or not
 * yet, costs nothing but a page.
 */
"""
# Not of one function or datum alone.
SHARED_NAME = re.compile(r"\.(text|rodata)(\.(unlikely|startup|exit|hot|sse\w*|avx\w*|evex\w*|str[\d.]+|cst\d+))?")
NUMBERED_BY_LTO = re.compile(r"\.lto_priv\.\d+")
# Of what the processor chooses among at run time valgrind's has only one.
CHOSEN_BY_PROCESSOR = re.compile(r"-(avx2|avx512|evex|evex512|evex-unaligned-erms|avx-unaligned-erms|sse2|erms|rtm)")


def touched_addresses(fifo):
    """A process that reads lackey's trace and prints each address once."""
    program = r"""/^(I | [LSM]) / { sub(/,.*/, "", $2); seen[$2] } END { for (each in seen) print each }"""
    return subprocess.Popen(["awk", program, fifo], stdout=subprocess.PIPE, text=True)


class Traced(subjects.Envdial):
    patience = PATIENCE

    def command(self):
        trace = ["valgrind", "--tool=lackey", "--trace-mem=yes", f"--log-file={self.place.disk / 'trace'}", "--"]
        return [*trace, *super().command(), "--timeout", "10s", "--connect-timeout", "60s"]


def trace(place, consul, source, binary, asks=()):
    """The addresses that a life touches: a start, three changes, two idle polls, what is asked of it, the end."""
    subject = Traced(place, source)
    subject.binary = binary
    fifo = subject.place.disk / "trace"
    os.mkfifo(fifo)
    awk = touched_addresses(fifo)
    try:
        with measures.running(consul, [subject]):
            for value in (2001, 2002, 2003):
                consul.agent.put(subject.keys[0], value)
                eventually("the change is delivered", lambda: f"'{value}'" in subject.file.read_text(), PATIENCE)
            for target in asks:
                unix_http.request(subject.directory / "control.sock", "GET", target, timeout=PATIENCE)
            time.sleep(2 * 10)  # two waits
            os.kill(subject.pid, signal.SIGTERM)
            eventually("it ends", subject.ended, PATIENCE)
        return [int(line, 16) for line in awk.communicate()[0].split()]
    finally:
        processes.kill(awk)


def named(linked, addresses):
    """The linked sections that hold the addresses, as (output section, pattern of the linker's)."""
    starts = [each.address for each in linked]
    for address in sorted(addresses):
        at = bisect.bisect(starts, address) - 1
        if at < 0 or address >= linked[at].address + linked[at].size:
            continue
        part = linked[at]
        output = part.output.removesuffix(".first")
        archive = re.search(r"([^/]+\.a)\((.+)\)$", part.file)
        if output not in (".text", ".rodata"):
            continue
        if not SHARED_NAME.fullmatch(part.name):
            yield output, f"*({NUMBERED_BY_LTO.sub('.lto_priv.*', part.name)})"
        elif archive:
            member = CHOSEN_BY_PROCESSOR.sub("-*", archive[2])
            yield output, f"*{archive[1]}:{member}({output} {output}.*)"


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
    lives = []
    with measures.scratch() as place:
        consul = measures.TestConsul(place, 'limits { https_handshake_timeout = "120s" }')
        try:
            binary = directory / "envdial"
            lives.append(trace(place, consul, consul.source(1), binary))
            lives.append(trace(place, consul, consul.source(1), binary, ASKED))
            lives.append(trace(place, consul, consul.https(), binary))
        finally:
            consul.agent.kill()
    patterns = list(dict.fromkeys(pattern for life in lives for pattern in named(linked, life)))
    parts = [HEAD.rstrip()]
    for output in (".text", ".rodata"):
        chosen = [pattern for of, pattern in patterns if of == output]
        parts += ["SECTIONS", "{", f"  {output}.first :", "  {", *wrapped(chosen), "  }", "}"]
        parts.append(f"INSERT BEFORE {output};")
    (TOP / "cmake/order.ld").write_text("\n".join(parts) + "\n")


main()
