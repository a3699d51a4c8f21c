# SPDX-License-Identifier: Apache-2.0
import pathlib
import tempfile
import unittest

import arrows
import tree

# One tree without fault, to plant one fault at a time in.
GOOD = {
    "base/CMakeLists.txt": "envdial_room(base SOURCES a.cc LIBRARIES PkgConfig::libevent PkgConfig::libcurl)\n",
    "base/a.h": "#include <string>\n#include <sys/stat.h>\n",
    "base/a.cc": '#include "base/a.h"\n#include <curl/curl.h>\n#include <ares.h>\n#include <nlohmann/json.hpp>\n',
    "base/b.cc": "#include <boost/beast/http/parser.hpp>\n#include <event2/event.h>\n",
    "guard/CMakeLists.txt": "envdial_room(guard SOURCES b.cc USES base)\n",
    "guard/b.cc": '#include "base/a.h"\n',
    "fallback/CMakeLists.txt": "envdial_room(\n  fallback\n  SOURCES c.cc\n  USES base guard)\n",
    "fallback/c.cc": '#include "base/a.h"\n#include "guard/b.h"\n',
    "inject/CMakeLists.txt": "envdial_room(inject SOURCES d.cc USES base LIBRARIES PkgConfig::libcap)\n",
    "inject/d.cc": '#include <sys/capability.h>\n#include "clients/c/layout.h"\n',
    "sidecar/CMakeLists.txt": "add_executable(envdial main.cc)\n"
    "target_link_libraries(envdial PRIVATE envdial_guard spdlog::spdlog)\n",
    "sidecar/main.cc": '#include <spdlog/spdlog.h>\n#include "guard/b.h"\n',
    "clients/c/layout.h": '#include <stdint.h>\n#include "neighbour.h"\n',
    "clients/c/neighbour.h": "",
    "tests/guard/b_test.cc": '#include <event2/dns.h>\n#include <nlohmann/json.hpp>\n#include "sidecar/main.h"\n',
}

# A file, its text, and what the check must say of it.
FAULTS = [
    ("base/a.h", '#include "guard/b.h"\n', 'base/a.h:1: base/ may not include "guard/b.h"'),
    ("guard/b.cc", '\n#  include "fallback/c.h"\n', 'guard/b.cc:2: guard/ may not include "fallback/c.h"'),
    ("fallback/c.cc", '#include "sidecar/main.h"\n', "fallback/ may not include"),
    ("fallback/c.cc", '#include "consul/watch.h"\n', "fallback/ may not include"),
    ("sidecar/main.cc", '#include "clients/c/layout.h"\n', "sidecar/ may not include"),
    ("inject/d.cc", '#include "clients/python/layout.h"\n', "of clients/, inject/ may include clients/c/ only"),
    ("clients/c/layout.h", '#include "base/a.h"\n', "clients/ may not include"),
    ("guard/b.cc", '#include "tests/support/x.h"\n', "guard/ may not include"),
    ("guard/b.cc", '#include "b.h"\n', "does not begin with the name of a room"),
    ("guard/b.cc", '#include "../base/a.h"\n', "does not begin with the name of a room"),
    ("sidecar/main.cc", '#include "inject/d.h"\n', "the USES of sidecar/CMakeLists.txt does not name inject"),
    ("guard/b.cc", "#include <event2/event.h>\n", "<event2/event.h> lives in base/ only"),
    ("inject/d.cc", "#include <boost/beast/http/parser.hpp>\n", "lives in base/ only"),
    ("consul/e.cc", "#include <curl/curl.h>\n", "<curl/curl.h> lives in base/ only"),
    ("consul/e.cc", "#include <ares_dns.h>\n", "lives in base/ only"),
    ("base/a.cc", "#include <sys/capability.h>\n", "lives in inject/ only"),
    ("guard/b.cc", "#include <spdlog/spdlog.h>\n", "lives in sidecar/ only"),
    ("guard/b.cc", "#include <fmt/format.h>\n", "lives in sidecar/ only"),
    ("inject/d.cc", "#include <prometheus/registry.h>\n", "lives in sidecar/ only"),
    ("inject/d.cc", "#include <CLI/CLI.hpp>\n", "lives in sidecar/ only"),
    ("guard/b.h", "#include <nlohmann/json.hpp>\n", "belongs into .cc files only"),
    ("tests/guard/b.h", "#include <nlohmann/json_fwd.hpp>\n", "belongs into .cc files only"),
    ("guard/b.cc", "#include <gtest/gtest.h>\n", "<gtest/gtest.h> has no home"),
    ("guard/b.cc", "#include <boost/asio.hpp>\n", "has no home"),
    ("guard/b.cc", "#include <uv.h>\n", "has no home"),
    ("governor/g.cc", "", "governor/ is no room"),
    ("guard/CMakeLists.txt", "envdial_room(guard SOURCES b.cc USES base consul)\n", "guard may not use consul"),
    ("inject/CMakeLists.txt", "target_link_libraries(x envdial_base envdial_sidecar)\n", "inject may not use sidecar"),
    ("guard/CMakeLists.txt", "envdial_room(guard USES base LIBRARIES PkgConfig::libcurl)\n", "lives in base/ only"),
    ("guard/CMakeLists.txt", "envdial_room(guard SOURCES b.cc)\n", "the USES of guard/CMakeLists.txt does not name"),
]


class ArrowsTest(unittest.TestCase):
    maxDiff = None

    def test_the_tree_keeps_to_the_arrows(self):
        top = tree.source_dir()
        self.assertTrue((top / "base").is_dir())
        self.assertEqual([], arrows.check(top))

    def test_a_tree_without_fault_passes(self):
        self.assertEqual([], self._check({}))

    def test_each_planted_fault_is_found(self):
        for name, text, expected in FAULTS:
            with self.subTest(name=name, text=text):
                found = self._check({name: text})
                self.assertEqual(1, sum(expected in fault for fault in found), found)

    def _check(self, planted):
        with tempfile.TemporaryDirectory() as folder:
            tree.write_tree(pathlib.Path(folder), GOOD | planted)
            return arrows.check(pathlib.Path(folder))


if __name__ == "__main__":
    unittest.main()
