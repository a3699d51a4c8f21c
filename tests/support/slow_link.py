# SPDX-License-Identifier: Apache-2.0
"""Carries frames between two interfaces, each later by a delay: what `tc netem` does where the kernel has it.

    slow_link.py MILLISECONDS JITTER ONE OTHER

Each frame is late by MILLISECONDS, give or take JITTER, so that frames also overtake each other. Prints "up" when it
carries, and a dot for each frame that it carried.
"""

import heapq
import itertools
import os
import random
import select
import socket
import sys
import time

_ALL = 3  # ETH_P_ALL
_OUTGOING = 4  # PACKET_OUTGOING: what was sent from here
_MOST = 65536


def main():
    delay, jitter = (float(number) / 1e3 for number in sys.argv[1:3])
    ends = [socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL)) for _ in range(2)]
    for end, name in zip(ends, sys.argv[3:]):
        end.bind((name, 0))
        end.setblocking(False)
    on_the_way, order = [], itertools.count()
    os.write(1, b"up\n")
    while True:
        wait = max(0.0, on_the_way[0][0] - time.monotonic()) if on_the_way else None
        for end in select.select(ends, [], [], wait)[0]:
            frame, (_, _, kind, *_) = end.recvfrom(_MOST)
            if kind != _OUTGOING:
                arrives = time.monotonic() + delay + random.uniform(-jitter, jitter)
                heapq.heappush(on_the_way, (arrives, next(order), ends[end is ends[0]], frame))
        while on_the_way and on_the_way[0][0] <= time.monotonic():
            _, _, end, frame = heapq.heappop(on_the_way)
            try:
                end.send(frame)
            except OSError:
                pass  # a full queue, or one end that is gone: lost, as on any wire
            os.write(1, b".")


main()
