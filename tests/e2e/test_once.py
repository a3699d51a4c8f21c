# SPDX-License-Identifier: Apache-2.0
"""`envdial run --once`: publishes as at start-up, and ends."""

import time

from support.case import KEY, NAME, EndToEndTest, one_dial
from support.sidecar import env_text


class Once(EndToEndTest):
    def once(self, consul, *arguments, name="pod"):
        """Runs it to its end; returns it and its exit code."""
        sidecar = self.sidecar(consul, *one_dial("--once", *arguments), name=name).start()
        return sidecar, sidecar.wait_end()

    def test_0_if_every_value_came_from_consul(self):
        consul = self.start_consul()
        consul.put(KEY, 500)
        sidecar, code = self.once(consul)
        self.assertEqual(code, 0, sidecar.log())
        self.assertEqual(sidecar.env_text(), env_text(MAX_CONCURRENT=500))
        self.assertFalse(sidecar.socket.exists(), "nobody would answer there")
        # Kept for the next start, by whichever form.
        consul.kill()
        later, code = self.once(consul)
        self.assertEqual(code, 3, later.log())
        self.assertEqual(later.env_text(), env_text(MAX_CONCURRENT=500))

    def test_3_with_the_default_after_the_startup_wait(self):
        began = time.monotonic()
        sidecar, code = self.once(self.closed_port(), "--default", 300, "--startup-wait", "1s")
        self.assertEqual(code, 3, sidecar.log())
        self.assertGreaterEqual(time.monotonic() - began, 1.0)
        self.assertEqual(sidecar.env_text(), env_text(MAX_CONCURRENT=300))

    def test_3_and_nothing_published_without_any_value(self):
        consul = self.start_consul()
        for name, source in (("absent", consul), ("away", self.closed_port())):
            with self.subTest(name=name):
                sidecar, code = self.once(source, "--startup-wait", "1s", name=name)
                self.assertEqual(code, 3, sidecar.log())
                self.assertFalse(sidecar.env_file.exists())
                self.assertIn("nothing is published", sidecar.log())

    def test_3_if_consul_answers_but_one_value_is_refused(self):
        consul = self.start_consul()
        consul.put(KEY, 9000)
        sidecar, code = self.once(consul, "--default", 300, "--max", 2500)
        self.assertEqual(code, 3, sidecar.log())
        self.assertEqual(sidecar.env_text(), env_text(MAX_CONCURRENT=300))
        self.assertIn("refused", sidecar.log())

    def test_1_if_it_cannot_deliver_or_another_holds_the_directory(self):
        consul = self.start_consul()
        consul.put(KEY, 500)
        blocked = self.sidecar(consul, *one_dial("--once"), name="blocked")
        (blocked.run_dir / "env").mkdir()
        blocked.start()
        self.assertEqual(blocked.wait_end(), 1, blocked.log())
        running = self.sidecar(consul, *one_dial("--instance", "the-one"), name="running").start_ready()
        second = self.sidecar(consul, *one_dial("--once"), name="second")
        second.run_dir = running.run_dir
        second.start()
        self.assertEqual(second.wait_end(), 1)
        self.assertIn("the-one", second.log())
        self.assertEqual(running.dial(NAME)["value"], "500")
