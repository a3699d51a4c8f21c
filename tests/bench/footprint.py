# SPDX-License-Identifier: Apache-2.0
"""What `script/bench footprint` does. Needs ENVDIAL_BINARY, ENVDIAL_CONSUL, and floor and first_value in build/bench."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import measures, subjects  # noqa: E402  (found only now)
from support.report import print_conditions, print_table  # noqa: E402

STARTS = 30


def main():
    parser = argparse.ArgumentParser(prog="script/bench footprint")
    parser.add_argument("--seconds", type=int, default=30)
    chosen = parser.parse_args()
    ours = subjects.Envdial
    with measures.scratch() as place:
        consul = measures.TestConsul(place)
        try:
            print(f"footprint: watching it idle for {chosen.seconds} s", flush=True)
            memory = measures.memory(place, consul, ours, consul.source(1), 10)
            idle = measures.idle(place, consul, [ours], chosen.seconds)[ours.name]
            print(f"footprint: {STARTS} first starts of each", flush=True)
            starts = measures.first_value(place, consul, [subjects.Floor, ours], STARTS)
        finally:
            consul.agent.kill()
    print()
    print_table([
        ("footprint", "envdial"),
        *((f"{part} memory", f"{size / (1 << 20):.1f} MiB") for part, size in memory.items()),
        ("threads", str(idle["threads"])),
        ("processor time in an idle minute", f"{idle['processor_ms']:.1f} ms"),
        ("requests to Consul in an idle minute", f"{idle['requests']:.1f}"),
        ("exec to the first env file, median", f"{measures.median(starts[ours.name]):.1f} ms"),
        ("  the floor's, measured alike", f"{measures.median(starts['floor']):.1f} ms"),
    ])  # fmt: skip
    print_conditions(
        "preset release: dynamic, against the distribution's libraries, whose pages count as resident; one dial",
        "memory by smaps_rollup and VmHWM, processor time by schedstat of all threads, requests as they went to Consul",
        f"starts: empty run and state directories, the value in Consul, {STARTS} times, in turns with the floor",
    )


main()
