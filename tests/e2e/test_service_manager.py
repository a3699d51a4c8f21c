# SPDX-License-Identifier: Apache-2.0
"""What systemd is told by a service of Type=notify with a watchdog. The manager here is the test."""

import os
import signal

from support.case import KEY, EndToEndTest, one_dial
from support.service_manager import ServiceManager

WATCHDOG_SECONDS = 1.0


class ServiceManagerTest(EndToEndTest):
    def manager(self, name=None):
        manager = ServiceManager(name or self.where / "notify")
        self.addCleanup(manager.close)
        return manager

    def managed(self, manager, consul, *arguments, **watchdog):
        env = {"NOTIFY_SOCKET": manager.name} | watchdog
        return self.sidecar(consul, *one_dial(*arguments), env=env)

    def test_it_has_started_when_the_values_are_there_and_not_before(self):
        consul = self.start_consul()
        manager = self.manager()
        sidecar = self.managed(manager, consul, "--startup-wait", "100ms").start()
        waiting = manager.wait(STATUS="not ready: waiting for a value of MAX_CONCURRENT")
        self.assertFalse([message for message in waiting if "READY" in message])
        self.assertFalse(sidecar.env_file.exists())
        consul.put(KEY, 700)
        self.assertEqual(["1"], [message["READY"] for message in manager.wait(READY="1") if "READY" in message])
        self.assertEqual("MAX_CONCURRENT='700'\n", sidecar.env_text())
        consul.put(KEY, 701)
        manager.wait(STATUS="ready, version 2")
        sidecar.terminate()
        manager.wait(STOPPING="1")

    def test_that_consul_is_away_keeps_no_service_from_starting(self):
        manager = self.manager(f"@envdial-test-{os.getpid()}")
        self.managed(manager, self.closed_port(), "--default", "500", "--startup-wait", "100ms").start()
        manager.wait(READY="1")

    def test_where_the_env_file_cannot_be_written_it_has_not_started(self):
        manager = self.manager()
        sidecar = self.managed(manager, self.closed_port(), "--default", "500", "--startup-wait", "100ms")
        sidecar.env_file.mkdir()
        sidecar.start()
        sidecar.wait_metric(1, "snapshot_version")
        status = "ready, version 1"
        self.assertFalse([message for message in manager.wait(STATUS=status) if "READY" in message])
        sidecar.env_file.rmdir()
        manager.wait(READY="1")

    def test_the_watchdog_hears_nothing_from_a_sidecar_that_hangs(self):
        manager = self.manager()
        sidecar = self.managed(
            manager, self.closed_port(), "--default", "500", WATCHDOG_USEC=str(int(WATCHDOG_SECONDS * 1e6))
        ).start()
        for _ in range(3):
            manager.wait(within=WATCHDOG_SECONDS * 10, WATCHDOG="1")
        sidecar.signal(signal.SIGSTOP)
        while manager.next(within=WATCHDOG_SECONDS):
            pass  # what was sent before
        self.assertIsNone(manager.next(within=WATCHDOG_SECONDS * 2))
        sidecar.signal(signal.SIGCONT)
        manager.wait(WATCHDOG="1")

    def test_a_watchdog_of_another_process_is_left_alone(self):
        manager = self.manager()
        self.managed(
            manager, self.closed_port(), "--default", "500", "--startup-wait", "100ms", WATCHDOG_USEC="100000",
            WATCHDOG_PID=str(os.getpid()),
        ).start()  # fmt: skip
        seen = manager.wait(READY="1")
        while message := manager.next(within=1.0):
            seen.append(message)
        self.assertFalse([message for message in seen if "WATCHDOG" in message])

    def test_a_socket_that_is_none_keeps_nothing_from_working(self):
        for name, said in ((str(self.where / "nobody"), "No such file"), ("nonsense", "absolute path")):
            with self.subTest(socket=name):
                sidecar = self.sidecar(
                    self.closed_port(), *one_dial("--default", "500"), name=name[-5:], env={"NOTIFY_SOCKET": name}
                )
                sidecar.start_ready()
                sidecar.wait_log(f"tell the service manager.*{said}|no service manager is told.*{said}")
