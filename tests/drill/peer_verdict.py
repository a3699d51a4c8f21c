# SPDX-License-Identifier: Apache-2.0
"""What came of an outage of `script/drill peers`, as a row of its table, and whether envdial kept its promises."""

import statistics
from dataclasses import dataclass, field

OLD, NEWEST = "old value", "newest value"
AT_ONCE = 0.05  # seconds: what followed came at once
HEADINGS = ("outage", "times", "subject", "served meanwhile", "noticed after", "newest value after", "asked", "ended")


@dataclass
class Story:
    """What became of one subject in one outage."""

    served: list = field(default_factory=list)  # (what, for how many seconds) until the end of the outage
    then: list = field(default_factory=list)  # what came after that
    noticed: float | None = None  # seconds from the beginning
    back: float | None = None  # seconds from the end of the outage to the newest value
    ended: tuple | None = None  # (seconds from the beginning, exit code)
    tries: int = 0


def seconds(values):
    """The median, and the most where there are several."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return "never" if not known else f"{len(values) - len(known)} of {len(values)} never"
    middle = f"{statistics.median(known):.2f} s"
    return middle if len(known) == 1 else f"{middle} (most {max(known):.2f})"


def served(story):
    told = story.served
    if len(told) > 1 and told[0][0] == OLD and told[0][1] < AT_ONCE:
        told = told[1:]
    if len(told) == 1:
        return told[0][0]
    return ", ".join(f"{what} {length:.1f} s" for what, length in told)


def ended(stories):
    ends = [story.ended for story in stories if story.ended]
    codes = ", ".join(str(code) for code in sorted({code for _, code in ends}))
    often = f", {len(ends)} of {len(stories)} times" if len(stories) > 1 else ""
    return f"code {codes} after {statistics.median(after for after, _ in ends):.0f} s{often}" if ends else "-"


def count(number, what):
    return f"{number:.0f} {what}" + ("" if number == 1 else "s")


def row(outage, subject, stories):
    return (
        outage.name, str(len(stories)), subject, " | ".join(sorted({served(story) for story in stories})),
        seconds([story.noticed for story in stories]), seconds([story.back for story in stories]),
        count(statistics.median(story.tries for story in stories), outage.tried), ended(stories),
    )  # fmt: skip


def broken(outage, subject, story, slack):
    """Which promises envdial did not keep. `slack`: how many seconds it may be late by no fault of its own."""
    served = story.served
    if outage.may_show_nothing and served[0][0] == "no file":
        if served[0][1] > outage.may_show_nothing + slack:
            yield f"{subject} showed nothing for {served[0][1]:.2f} s"
        served = served[1:]
    for what, length in served:
        if what not in outage.allowed:
            yield f"{subject} showed for {length:.2f} s: {what}"
    yield from _broken_afterwards(outage, subject, story)
    if story.ended:
        yield f"{subject} ended with code {story.ended[1]}"
    for what, took, bound in (
        ("the newest value", story.back, outage.bound),
        ("a word of the outage", story.noticed, outage.notice_bound),
    ):
        if took is None:
            yield f"{subject}: {what} never came"
        elif took > bound + slack:
            yield f"{subject}: {what} came after {took:.2f} s; {bound + slack:.2f} s are allowed"


def _broken_afterwards(outage, subject, story):
    """After the end it may go on for a while, until the newest value comes and stays."""
    came = False
    for what in story.then:
        came = came or what == NEWEST
        if what != NEWEST and (came or what not in outage.allowed):
            yield f"{subject} showed after the end: {what}"
