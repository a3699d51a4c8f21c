# SPDX-License-Identifier: Apache-2.0
"""Which room may include which, and where each third party lives: the table of docs/architecture.md, as a check."""

import pathlib
import re

import tree

# Room: the rooms whose headers it may include besides its own, and the USES of its CMakeLists.txt may name.
ARROWS = {
    "base": set(),
    "consul": {"base"},
    "guard": {"base"},
    "fallback": {"base", "guard"},
    "inject": {"base", "clients"},
    "sidecar": {"base", "consul", "guard", "fallback", "inject"},
    "clients": set(),
}

# Of another room, only these folders: from clients/, inject/ sees the layout of the snapshot file and nothing else.
ONLY_FROM = {("inject", "clients"): "clients/c/"}

# The beginning of a third party's include: the rooms that are its home.
HOMES = {
    r"event2/": {"base"},
    r"boost/beast/": {"base"},
    r"curl/": {"base"},
    r"ares": {"base"},
    r"zlib\.h$": {"base"},
    r"libaio\.h$": {"base"},
    r"sys/capability\.h$": {"inject"},
    r"spdlog/": {"sidecar"},
    r"fmt/": {"sidecar"},
    r"prometheus/": {"sidecar"},
    r"CLI/": {"sidecar"},
    r"nlohmann/": {"base", "consul", "guard", "fallback", "inject", "sidecar"},
}

# The same for what LIBRARIES and target_link_libraries() name.
LIBRARY_HOMES = {
    r"PkgConfig::libevent$": {"base"},
    r"PkgConfig::libcurl$": {"base"},
    r"PkgConfig::libcares$": {"base"},
    r"PkgConfig::zlib$": {"base"},
    r"\$\{LIBAIO\}$": {"base"},
    r"PkgConfig::libcap$": {"inject"},
    r"spdlog::": {"sidecar"},
    r"fmt::": {"sidecar"},
    r"prometheus-cpp::": {"sidecar"},
}

# The language's, the C library's and the kernel's headers.
_SYSTEM = re.compile(
    r"(?:[a-z0-9_]+|(?:sys|net|netinet|arpa|linux|asm)/[a-z0-9_]+\.h"
    r"|(?:alloca|assert|ctype|dirent|dlfcn|elf|endian|err|errno|fcntl|features|fnmatch|getopt|glob|grp|ifaddrs|inttypes"
    r"|limits|link|locale|malloc|math|netdb|poll|pthread|pwd|sched|semaphore|setjmp|signal|spawn|stdarg|stdatomic"
    r"|stdbool|stddef|stdint|stdio|stdlib|string|strings|syslog|termios|threads|time|ucontext|unistd|utime|wchar)\.h)"
)
_INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
_CODE = {".cc", ".h", ".c"}


def check(top: pathlib.Path) -> list[str]:
    """What is against the table in the tree `top`, one sentence each."""
    found = []
    uses = {room: _uses(top, room) for room in ARROWS}
    for path in tree.files(top):
        room = path.parts[0]
        if path.suffix in _CODE:
            found += _check_code(top, path, uses.get(room, set()))
        elif path.name == "CMakeLists.txt" and room in ARROWS:
            found += _check_cmake(top, path)
    return found


def _check_code(top: pathlib.Path, path: pathlib.Path, uses: set[str]) -> list[str]:
    room, text = path.parts[0], (top / path).read_text(encoding="utf-8")
    if room not in ARROWS and room != "tests":
        return [f"{path}: {room}/ is no room: give it its arrows in docs/architecture.md and tests/house/arrows.py"]
    found = []
    for match in _INCLUDE.finditer(text):
        where = f"{path}:{text.count(chr(10), 0, match.start(2)) + 1}"
        quote, name = match.groups()
        fault = _fault_of_ours(top, path, name, uses) if quote == '"' else _fault_of_third_party(path, name)
        found += [f"{where}: {fault}"] if fault else []
    return found


def _fault_of_ours(top: pathlib.Path, path: pathlib.Path, name: str, uses: set[str]) -> str | None:
    room, target = path.parts[0], name.split("/")[0]
    if room == "clients" and (top / path.parent / name).exists():
        return None  # apps copy these files: they name each other as neighbours
    if target not in ARROWS and target != "tests":
        return f'"{name}" does not begin with the name of a room'
    if room in (target, "tests"):
        return None
    if target not in ARROWS[room]:
        return f'{room}/ may not include "{name}"'
    if not name.startswith(ONLY_FROM.get((room, target), "")):
        return f'of {target}/, {room}/ may include {ONLY_FROM[room, target]} only, not "{name}"'
    if target != "clients" and target not in uses:
        return f'"{name}" is included, but the USES of {room}/CMakeLists.txt does not name {target}'
    return None


def _fault_of_third_party(path: pathlib.Path, name: str) -> str | None:
    room = path.parts[0]
    if name.startswith("nlohmann/") and path.suffix != ".cc":
        return f"<{name}> belongs into .cc files only"
    if room == "tests":
        return None
    for beginning, homes in HOMES.items():
        if re.match(beginning, name):
            return None if room in homes else f"<{name}> lives in {_and(homes)} only"
    if not _SYSTEM.fullmatch(name):
        return f"<{name}> has no home: see docs/dependencies.md and tests/house/arrows.py"
    return None


def _check_cmake(top: pathlib.Path, path: pathlib.Path) -> list[str]:
    room, found = path.parts[0], []
    for used in sorted(_uses(top, room) - ARROWS[room] - {room}):
        found.append(f"{path}: {room} may not use {used}")
    for library in _words(top / path):
        for name, homes in LIBRARY_HOMES.items():
            if re.match(name, library) and room not in homes:
                found.append(f"{path}: {library} lives in {_and(homes)} only")
    return found


def _uses(top: pathlib.Path, room: str) -> set[str]:
    """The rooms that the CMakeLists.txt of `room` links with: by USES, or as envdial_<room>."""
    path = top / room / "CMakeLists.txt"
    if not path.exists():
        return set()
    uses, in_uses = set(), False
    for word in _words(path):
        if word in ("SOURCES", "LIBRARIES", ")"):
            in_uses = False
        elif word == "USES":
            in_uses = True
        elif in_uses:
            uses.add(word)
        elif word.removeprefix("envdial_") in ARROWS and word.startswith("envdial_"):
            uses.add(word.removeprefix("envdial_"))
    return uses


def _words(path: pathlib.Path) -> list[str]:
    text = re.sub(r"#.*", "", path.read_text(encoding="utf-8"))
    return re.sub(r"([()])", r" \1 ", text).split()


def _and(names: set[str]) -> str:
    return " and ".join(f"{name}/" for name in sorted(names))
