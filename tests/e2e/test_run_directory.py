# SPDX-License-Identifier: Apache-2.0
"""What is in the run directory: its rights, and that it comes back when somebody takes it away."""

import fcntl
import os
import shutil
import stat
import subprocess
import threading
from pathlib import Path

from support import footprint, unix_http
from support.case import KEY, NAME, EndToEndTest, one_dial
from support.own_disk import OwnDisk
from support.rights import NO_CAPABILITIES
from support.sidecar import env_text
from support.waiting import always, eventually


def mode_of(path):
    return stat.S_IMODE(path.lstat().st_mode)


class RunDirectory(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.consul = self.start_consul()
        self.consul.put(KEY, 500)

    def start(self, *arguments):
        return self.sidecar(self.consul, *one_dial(*arguments)).start_ready()

    def assert_whole(self, sidecar, value):
        """All that belongs in the run directory is in it, and works."""
        eventually(
            "everything is back",
            lambda: sidecar.alive()
            and sidecar.env_text() == env_text(**{NAME: value})
            and sidecar.dial(NAME)["value"] == str(value)
            and self.is_locked(sidecar.run_dir / "lock"),
        )
        eventually(
            "no channel fails", lambda: all(not channel["error"] for channel in sidecar.status()["channels"])
        )

    @staticmethod
    def is_locked(path):
        with open(path) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    def test_what_is_taken_away_comes_back(self):
        sidecar = self.start()
        run_dir = sidecar.run_dir
        harms = {
            "the directory": lambda: shutil.rmtree(run_dir),
            "the directory, renamed": lambda: run_dir.rename(run_dir.with_name("away")),
            "all that is in it": lambda: [path.unlink() for path in run_dir.iterdir()],
            "the env file": lambda: (run_dir / "env").unlink(),
            "the env file's text": lambda: (run_dir / "env").write_text("MAX_CONCURRENT='9999'\n"),
            "the socket": lambda: (run_dir / "control.sock").unlink(),
            "the lock": lambda: (run_dir / "lock").unlink(),
        }
        for name, harm in harms.items():
            with self.subTest(taken=name):
                harm()
                self.assert_whole(sidecar, 500)
        self.consul.put(KEY, 600)
        self.assert_whole(sidecar, 600)
        self.assertEqual(sidecar.snapshot()["version"], 2, "putting back is no change")

    def test_a_change_while_it_is_gone_is_there_when_it_is_back(self):
        parent = self.where / "volume"
        parent.mkdir()
        sidecar = self.sidecar(self.consul, *one_dial(), run_dir=parent / "run").start_ready()
        open_files = footprint.open_files(sidecar)
        answers = []
        stay = threading.Thread(
            target=lambda: answers.append(unix_http.request(sidecar.socket, "GET", "/v1/snapshot?after=1", timeout=30))
        )
        stay.start()
        eventually("it waits", lambda: sidecar.metrics()("control_clients") == 1)
        shutil.rmtree(parent)
        sidecar.wait_log("run directory.*No such file")
        self.consul.put(KEY, 600)
        stay.join(10)
        self.assertEqual(answers[0].status, 200, "who was connected before is served")
        self.assertIn('"600"', answers[0].text)
        always("it lives and makes no parent", lambda: sidecar.alive() and not parent.exists(), 1.5)
        parent.mkdir()
        self.assert_whole(sidecar, 600)
        self.assertGreater(sidecar.metrics()("delivery_failures_total", channel="env_file"), 0)
        eventually("no descriptor is lost", lambda: footprint.open_files(sidecar) <= open_files)
        self.assertEqual(len(sidecar.log_lines("error.*env_file")), 1, sidecar.log())

    def test_a_socket_that_cannot_come_back_stops_no_other_channel(self):
        sidecar = self.start()
        sidecar.socket.unlink()
        sidecar.socket.mkdir()
        sidecar.wait_log("channel control: .*control.sock")
        self.consul.put(KEY, 600)
        eventually("the env file follows", lambda: sidecar.env_text() == env_text(MAX_CONCURRENT=600))
        sidecar.socket.rmdir()
        self.assert_whole(sidecar, 600)
        self.assertEqual(len(sidecar.log_lines("error.*channel")), 1, sidecar.log())

    def test_a_directory_that_another_sidecar_took_meanwhile_stays_that_ones(self):
        first = self.start("--instance", "the-first")
        shutil.rmtree(first.run_dir)
        other_consul = self.start_consul()
        other_consul.put(KEY, 700)
        second = self.sidecar(other_consul, *one_dial("--instance", "the-second"), name="second", run_dir=first.run_dir)
        # Whoever is first has it: where that is the old one, the new one ends and says so.
        second.start()
        eventually("one says who has it", lambda: second.ended() or first.log_lines("held by.*the-second"))
        if second.ended():
            self.assertIn("the-first", second.log())
            self.assert_whole(first, 500)
            return
        always("it is left alone", lambda: second.env_text() == env_text(MAX_CONCURRENT=700), 2.5)

    def test_a_full_one_takes_changes_that_need_no_more_room(self):
        sidecar = self.sidecar(self.consul, *one_dial())
        disk = OwnDisk(sidecar.run_dir, "64k")
        self.addCleanup(disk.close)
        sidecar.before, sidecar.socket = disk.inside, Path(disk.path("control.sock"))
        sidecar.start_ready()
        disk.fill()
        for value in (600, 700, 800):
            self.consul.put(KEY, value)
            eventually(
                f"the env file shows {value}",
                lambda value=value: Path(disk.path("env")).read_text() == env_text(**{NAME: value}),
            )
        self.assertEqual(sidecar.metrics()("delivery_failures_total", channel="env_file"), 0)

    def test_modes_and_group(self):
        # Without any capability a process can give a file to a group of its own only.
        group, before = (4242, ("setpriv", "--groups", "4242", "--")) if os.geteuid() == 0 else (os.getegid(), ())
        sidecar = self.sidecar(
            self.consul,
            *one_dial("--socket-mode", "0600", "--env-file-mode", "0604", "--group", group),
            run_dir=self.where / "made",
            make_run_dir=False,
            before=before,
        )
        sidecar.start_ready()

        def check():
            self.assertEqual(mode_of(sidecar.run_dir), 0o750)
            self.assertEqual(mode_of(sidecar.socket), 0o600)
            self.assertEqual(mode_of(sidecar.env_file), 0o604)
            self.assertEqual(mode_of(sidecar.state_dir / "last-known-good.0"), 0o600)
            self.assertEqual(mode_of(sidecar.run_dir / "lock"), 0o600)
            for path in (sidecar.run_dir, sidecar.socket, sidecar.env_file):
                self.assertEqual(path.lstat().st_gid, group, path)

        check()
        shutil.rmtree(sidecar.run_dir)
        self.assert_whole(sidecar, 500)
        check()

    def test_a_volume_as_a_kubelet_makes_it(self):
        """It is there already, somebody else's, open to all who mount it, and gives its group (fsGroup) to what is in it."""
        group, root = 4242, () if os.geteuid() == 0 else ("sudo", "-n")
        volumes = [self.where / "pod" / name for name in ("run", "state")]
        for volume in volumes:
            volume.mkdir(parents=True)
            subprocess.run([*root, "chown", f"65534:{group}", volume], check=True)
            subprocess.run([*root, "chmod", "2777", volume], check=True)
        unprivileged = {"make_run_dir": False, "before": NO_CAPABILITIES}
        first = self.sidecar(self.consul, *one_dial("--require-unprivileged"), **unprivileged).start_ready()
        for path, mode in ((first.env_file, 0o640), (first.run_dir / "snapshot", 0o640), (first.socket, 0o660)):
            self.assertEqual((mode_of(path), path.lstat().st_gid), (mode, group), path)
        self.assertEqual(mode_of(volumes[1] / "last-known-good.0"), 0o600)
        kept = first.env_file.stat().st_ino
        first.kill()
        second = self.sidecar(self.consul, *one_dial("--require-unprivileged"), **unprivileged).start_ready()
        self.assertEqual(second.env_file.stat().st_ino, kept, "a restart changes nothing")
        self.assertEqual(second.log_lines("warn"), [])

    def test_rights_do_not_follow_the_umask(self):
        for umask in (0o000, 0o077):
            with self.subTest(umask=oct(umask)):
                sidecar = self.sidecar(
                    self.consul, *one_dial(), name=f"pod-{umask:o}", run_dir=self.where / f"run-{umask:o}",
                    make_run_dir=False, before=("sh", "-c", f'umask {umask:o}; exec "$@"', "-"),
                ).start_ready()  # fmt: skip
                self.assertEqual(mode_of(sidecar.run_dir), 0o750)
                self.assertEqual(mode_of(sidecar.socket), 0o660)
                self.assertEqual(mode_of(sidecar.env_file), 0o640)
