# SPDX-License-Identifier: Apache-2.0
import asyncio
import mmap
import threading
import time
import unittest

from fixture import DIALS, GONE, SnapshotTest, eventually

import envdial
from envdial import _futex, _watch


class Futex(SnapshotTest):
    def setUp(self):
        super().setUp()
        self.page = mmap.mmap(-1, 4096)
        self.address = _futex.address_of(self.page)

    def test_sleeps_as_long_as_it_should(self):
        began = time.monotonic()
        _futex.wait(self.address, 0, 0.05)
        self.assertGreaterEqual(time.monotonic() - began, 0.05)

    def test_does_not_sleep_where_the_word_is_another(self):
        self.page[0] = 1
        self.in_thread(lambda: _futex.wait(self.address, 0, 3600.0))()

    def test_is_woken(self):
        done = threading.Event()
        finish = self.in_thread(lambda: (_futex.wait(self.address, 0, 3600.0), done.set()))
        eventually("it is woken", lambda: _futex.wake(self.address) or done.is_set())
        finish()


class Watching(SnapshotTest):
    def test_tells_what_changed_since_the_call(self):
        writer = self.write()
        dials = envdial.open(self.run_dir)
        watch = dials.watch(timeout=30)
        writer.publish(LIMIT=(600, "600"), GREETING=(None, "hello"))
        first, second = next(watch), next(watch)
        self.assertEqual((first.name, first.value, first.old, first.version), ("LIMIT", 600, 500, 2))
        self.assertEqual((second.name, second.value, second.old), ("GREETING", "hello", "good day, Zoë"))
        self.assertEqual((first.text, first.origin), ("600", "consul"))
        self.assertEqual(first.changed, dials["LIMIT"].changed)

    def test_wakes_a_sleeper(self):
        self.addCleanup(setattr, _watch, "_NAP", _watch._NAP)
        _watch._NAP = 600.0  # so that it is the futex that wakes it
        writer = self.write()
        watch = envdial.open(self.run_dir).watch()
        for value in (1, 2, 3):
            finish = self.in_thread(lambda: next(watch))
            writer.publish(LIMIT=(value, str(value)))
            self.assertEqual(finish().value, value)

    def test_only_the_newest_of_many(self):
        writer = self.write()
        watch = envdial.open(self.run_dir).watch(timeout=0)
        for value in range(100):
            writer.publish(LIMIT=(value, str(value)))
        self.assertEqual([change.value for change in watch], [99])
        writer.publish(LIMIT=(98, "98"))
        writer.publish(LIMIT=(99, "99"))
        self.assertEqual(list(watch), [], "it is what it was")

    def test_a_timeout_ends_the_loop_and_not_the_watch(self):
        writer = self.write()
        watch = envdial.open(self.run_dir).watch(timeout=0.01)
        began = time.monotonic()
        self.assertEqual(list(watch), [])
        self.assertGreaterEqual(time.monotonic() - began, 0.01)
        writer.publish(LIMIT=(600, "600"))
        self.assertEqual([change.value for change in watch], [600])

    def test_follows_to_a_new_file(self):
        old = self.write()
        watch = envdial.open(self.run_dir).watch(timeout=60)
        finish = self.in_thread(lambda: [next(watch), next(watch)])
        self.write([("LIMIT", "int", 700, "700"), *DIALS[1:], ("NEW", "int", 1, "1")], version=2)
        old.supersede()
        limit, new = finish()
        self.assertEqual((limit.name, limit.value, limit.old), ("LIMIT", 700, 500))
        self.assertEqual((new.name, new.value, new.old), ("NEW", 1, None))

    def test_finds_a_new_file_that_nobody_wakes_it_for(self):
        old = self.write()
        old.beat(GONE)
        watch = envdial.open(self.run_dir).watch(timeout=60)
        finish = self.in_thread(lambda: next(watch))
        self.write([("LIMIT", "int", 700, "700"), *DIALS[1:]], version=2)
        self.assertEqual(finish().value, 700)

    def test_close_ends_it(self):
        self.write()
        dials = envdial.open(self.run_dir)
        watch = dials.watch()
        dials.close()
        self.assertEqual(list(watch), [])

    def test_close_wakes_a_sleeper(self):
        self.write()
        dials = envdial.open(self.run_dir)
        watch = dials.watch()
        finish = self.in_thread(lambda: list(watch))
        dials.close()
        self.assertEqual(finish(), [])


class Asynchronous(SnapshotTest):
    def test_tells_changes_while_the_loop_does_other_things(self):
        writer = self.write()
        dials = envdial.open(self.run_dir)

        async def main():
            changes = dials.changes()
            turns = 0

            async def others():
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            busy = asyncio.create_task(others())
            for value in (1, 2, 3):
                waiting = asyncio.create_task(changes.__anext__())
                before = turns
                while turns < before + 10:
                    await asyncio.sleep(0)
                writer.publish(LIMIT=(value, str(value)))
                change = await asyncio.wait_for(waiting, 30)
                self.assertEqual((change.name, change.value), ("LIMIT", value))
            busy.cancel()

        asyncio.run(main())

    def test_cancelled_and_iterated_again(self):
        writer = self.write()
        dials = envdial.open(self.run_dir)

        async def main():
            changes = dials.changes()
            for _ in range(20):
                with self.assertRaises(asyncio.TimeoutError):
                    await asyncio.wait_for(changes.__anext__(), 0.002)
            threads = [thread for thread in threading.enumerate() if thread.name == "envdial"]
            self.assertLessEqual(len(threads), 1, threads)
            writer.publish(LIMIT=(600, "600"))
            self.assertEqual((await asyncio.wait_for(changes.__anext__(), 30)).value, 600)

        asyncio.run(main())
        self.assertEqual(dials._bell._waiting, {})

    def test_its_thread_ends_when_nobody_waits(self):
        self.write().beat(GONE)  # a sidecar that is gone: naps are short
        dials = envdial.open(self.run_dir)

        async def main():
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(dials.changes().__anext__(), 0.01)

        asyncio.run(main())
        eventually("the thread ends", lambda: all(thread.name != "envdial" for thread in threading.enumerate()))

    def test_many_tasks(self):
        writer = self.write()
        dials = envdial.open(self.run_dir)

        async def one():
            async for change in dials.changes():
                return change.value

        async def main():
            tasks = [asyncio.create_task(one()) for _ in range(50)]
            await asyncio.sleep(0)
            writer.publish(LIMIT=(600, "600"))
            self.assertEqual(await asyncio.wait_for(asyncio.gather(*tasks), 30), [600] * 50)

        asyncio.run(main())

    def test_close_ends_it(self):
        self.write()
        dials = envdial.open(self.run_dir)

        async def main():
            changes = dials.changes()
            waiting = asyncio.create_task(changes.__anext__())
            await asyncio.sleep(0)
            dials.close()
            with self.assertRaises(StopAsyncIteration):
                await asyncio.wait_for(waiting, 30)

        asyncio.run(main())


if __name__ == "__main__":
    unittest.main()
