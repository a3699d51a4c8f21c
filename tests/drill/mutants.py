# SPDX-License-Identifier: Apache-2.0
"""What `script/drill mutants` does: plants each mistake of tests/drill/mutants in a copy of the tree, and looks whether
the tests that it names notice. Needs ENVDIAL_CONSUL where such a test does."""

import argparse
import dataclasses
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).with_suffix("")
SEEDS = 100  # of the simulator, at most; the first violation is enough
SEED_SECONDS = 120  # a seed takes half a second; a mutant may hang it
PASSED = "Passed"  # what ctest calls it
NOTICED = {"***Failed", "***Timeout"}  # the same; a crash notices nothing

_TARGET = re.compile(r"[a-z_]+")
_SAID = re.compile(r"Test +#\d+: (\S+) \.+ *(\S.*?):? +[\d.]+ sec")
_TEST = re.compile(r"[a-z0-9]+\.[A-Za-z0-9_.]+")


class Broken(Exception):
    """The drill itself, or a patch, is not as it should be."""


@dataclasses.dataclass
class Mutant:
    path: Path
    mistake: str
    tests: list[str]  # as ctest calls them; each must fail
    targets: list[str]  # that they need
    simulated: bool  # it touches what the simulator decides with, which must notice, too
    files: list[str]

    @property
    def name(self):
        return self.path.stem


def read(path):
    """The mutant of a patch: what its comment says, in this order, and the files that it changes."""
    head, _, diff = path.read_text(encoding="utf-8").partition("\n--- a/")
    lines = head.splitlines()
    if len(lines) < 5 or not all(line.startswith("# ") for line in lines) or not diff:
        raise Broken(f"{path.name}: expected lines of comment, and then the difference")
    words = {"caught by": [], "build": [], "simulator": []}
    for line in lines[2:]:
        key, _, value = line[2:].partition(": ")
        if key not in words:
            raise Broken(f'{path.name}: found "{line}", expected one of {", ".join(words)}')
        words[key] += value.split()
    tests, targets, simulator = words.values()
    if not tests or not all(_TEST.fullmatch(test) for test in tests):
        raise Broken(f'{path.name}: expected "# caught by: " and the whole name of a test')
    if not targets or not all(_TARGET.fullmatch(target) for target in targets):
        raise Broken(f'{path.name}: expected "# build: " and targets')
    if simulator not in (["yes"], ["no"]):
        raise Broken(f'{path.name}: expected "# simulator: yes" or no')
    files = re.findall(r"^--- a/(.+)$", "--- a/" + diff, re.MULTILINE)
    return Mutant(path, lines[1][2:], tests, targets, simulator == ["yes"], files)


def read_all(folder=FOLDER):
    return [read(path) for path in sorted(folder.glob("*.patch"))]


def apply(mutant, tree, *options):
    """Raises Broken where it does not fit."""
    # The copy lies within another repository, whose paths are none of ours.
    env = os.environ | {"GIT_CEILING_DIRECTORIES": str(tree.parent)}
    done = subprocess.run(
        ["git", "apply", "-p1", *options, mutant.path], cwd=tree, env=env, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise Broken(f"{mutant.path.name} does not apply any more: {done.stderr.strip()}")


class Copy:
    """The work tree as it stands, to be spoilt. Kept from one drill to the next: only what differs is built anew."""

    def __init__(self, tree):
        self.tree = tree
        self.build = tree / "build/dev"
        self._mirror()
        self._run("configure", "cmake", "--preset", "dev", "--log-level=WARNING")

    def _mirror(self):
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=TOP, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        wanted = {name for name in listed.stdout.split("\0") if name and (TOP / name).is_file()}
        for name in wanted:
            source, target = TOP / name, self.tree / name
            if target.is_file() and target.read_bytes() == source.read_bytes():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            shutil.copymode(source, target)
        for folder, folders, names in os.walk(self.tree):
            folders[:] = [name for name in folders if Path(folder, name) != self.tree / "build"]
            for name in names:
                path = Path(folder, name)
                if str(path.relative_to(self.tree)) not in wanted:
                    path.unlink()

    def _run(self, what, *command):
        env = os.environ | {
            "CCACHE_BASEDIR": str(self.tree), "CCACHE_NOHASHDIR": "1", "CCACHE_SLOPPINESS": "time_macros"
        }  # fmt: skip
        done = subprocess.run(
            command, cwd=self.tree, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if done.returncode != 0:
            raise Broken(f"does not {what}:\n{done.stdout[-3000:]}")

    def make(self, targets):
        self._run("build", "cmake", "--build", self.build, "--target", *sorted(targets))

    def test(self, names):
        """What ctest says of each test: "Passed" where it does."""
        pattern = "|".join(re.escape(name) for name in sorted(names))
        done = subprocess.run(
            ["ctest", "--test-dir", self.build, "-j2", "--tests-regex", f"^({pattern})$"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        said = dict(_SAID.findall(done.stdout))
        return {name: said.get(name, "there is no such test") for name in names}

    def simulator(self):
        return self.build / "tests/simulation/simulate"


class Spoilt:
    """The copy with a mutant in it, for as long as this lives."""

    def __init__(self, copy, mutant):
        self._originals = {copy.tree / name: (copy.tree / name).read_bytes() for name in mutant.files}
        apply(mutant, copy.tree)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for path, text in self._originals.items():
            path.write_bytes(text)


def simulate(program, seed):
    """What the simulator says of one seed: the promises that were broken; "" for none."""
    room = Path("/dev/shm")
    env = os.environ | ({"TMPDIR": str(room)} if os.access(room, os.W_OK) else {})
    try:
        done = subprocess.run([program, "1", str(seed)], env=env, capture_output=True, text=True, timeout=SEED_SECONDS)
    except subprocess.TimeoutExpired:
        raise Broken(f"seed {seed} hangs") from None
    if done.returncode == 0:
        return ""
    told = [line for line in done.stdout.splitlines() if line.startswith(f"seed {seed}, ")]
    if done.returncode != 1 or not told:
        raise Broken(f"seed {seed} ended with {done.returncode}: {done.stderr[-500:]}")
    return told[0]


def find_violation(copy, sound, seeds):
    """The first seed by which the simulator notices the mutant, and what it says."""
    for seed in range(1, seeds + 1):
        if not (told := simulate(copy.simulator(), seed)):
            continue
        if said := simulate(sound, seed):
            print(f"this seed tells nothing of mutants: without any, {said}", flush=True)
            continue
        return seed, told
    return None


@dataclasses.dataclass
class Outcome:
    mutant: Mutant
    tests: dict[str, str] = dataclasses.field(default_factory=dict)
    violation: tuple[int, str] | None = None
    fault: str = ""
    seconds: float = 0

    def complaints(self, seeds):
        """Why it counts as not caught; none is well."""
        if self.fault:
            return [self.fault]
        missed = [f"{name}: {said}" for name, said in self.tests.items() if said not in NOTICED]
        if self.mutant.simulated and not self.violation:
            missed.append(f"the simulator notices nothing in {seeds} seeds")
        return missed


def drill(copy, mutant, sound, seeds):
    began = time.monotonic()
    outcome = Outcome(mutant)
    try:
        with Spoilt(copy, mutant):
            copy.make([*mutant.targets, *(["simulate"] if mutant.simulated else [])])
            outcome.tests = copy.test(mutant.tests)
            if mutant.simulated:
                outcome.violation = find_violation(copy, sound, seeds)
    except Broken as broken:
        outcome.fault = str(broken)
    outcome.seconds = time.monotonic() - began
    return outcome


def prepare(copy, mutants):
    """Builds all without a mutant; the tests must pass. Returns a simulator that is sound."""
    copy.make({target for mutant in mutants for target in mutant.targets} | {"simulate"})
    said = copy.test({test for mutant in mutants for test in mutant.tests})
    failed = [f"{name}: {word}" for name, word in sorted(said.items()) if word != PASSED]
    if failed:
        raise Broken("without any mutant: " + "; ".join(failed))
    sound = copy.tree.parent / "simulate"
    shutil.copy2(copy.simulator(), sound)
    return sound


def print_table(outcomes, seeds):
    print("\n| mutant | the mistake | caught by | simulator | seconds |\n|---|---|---|---|---|")
    for outcome in outcomes:
        mutant = outcome.mutant
        caught = ", ".join(f"`{name}`" for name, said in outcome.tests.items() if said in NOTICED)
        seed = outcome.violation[0] if outcome.violation else None
        simulated = f"seed {seed}" if seed else "**no**" if mutant.simulated else "–"
        print(f"| `{mutant.name}` | {mutant.mistake} | {caught or '**none**'} | {simulated} | {outcome.seconds:.0f} |")
    for outcome in outcomes:
        for complaint in outcome.complaints(seeds):
            print(f"{outcome.mutant.name} is not caught: {complaint}")


def main():
    parser = argparse.ArgumentParser(prog="script/drill mutants", add_help=False)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--keep-going", action="store_true")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    arguments = parser.parse_args()
    mutants = read_all()
    if unknown := set(arguments.only) - {mutant.name for mutant in mutants}:
        raise Broken(f"no such mutant: {', '.join(sorted(unknown))}")
    mutants = [mutant for mutant in mutants if not arguments.only or mutant.name in arguments.only]

    copy = Copy(TOP / "build/mutants/tree")
    for mutant in mutants:
        apply(mutant, copy.tree, "--check")
    print(f"{len(mutants)} mutants; building and testing without them", flush=True)
    sound = prepare(copy, mutants)
    outcomes = []
    for mutant in mutants:
        outcomes.append(drill(copy, mutant, sound, arguments.seeds))
        missed = outcomes[-1].complaints(arguments.seeds)
        told = outcomes[-1].violation[1] if outcomes[-1].violation else "its tests fail"
        print(f"{mutant.name}: {'NOT CAUGHT' if missed else 'caught: ' + told}", flush=True)
        if missed and not arguments.keep_going:
            break
    print_table(outcomes, arguments.seeds)
    return 1 if any(outcome.complaints(arguments.seeds) for outcome in outcomes) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Broken as broken:
        sys.exit(f"mutants: {broken}")
