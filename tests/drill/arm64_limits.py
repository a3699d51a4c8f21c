# SPDX-License-Identifier: Apache-2.0
"""What qemu's user emulation can't, so that script/drill arm64 judges by it: no more may fail, and no less."""

# In whose place stands tests/drill/arm64_libaio.c; these go round it.
AIO = "there is no Linux AIO in it"
PROC = "/proc/PID/exe of a process that it runs names itself"
TASKS = "a thread of its own is seen in the process, with all capabilities"
PRELOAD = "it preloads the library into a program of this machine, which is none for arm64"

# room or file: {test: why it fails}
CANNOT = {
    "base": dict.fromkeys(
        (
            "DiskSyncTest.ASlowDiskHoldsUpNothing",
            "DiskSyncTest.ManyMayBeUnderWayAndEachIsToldOnce",
            "DiskSyncTest.SyncsFilesAndDirectories",
            "DiskSyncTest.WhatCannotBeSyncedIsAnError",
            "DiskSyncTest.WhatTheKernelRefusesIsTold",
        ),
        AIO,
    ),
    "inject": {"ScanByExe.FindsOthersAndNeverItself": PROC},
    "sidecar": {"SignalInboxTest.EverySignalThatCanBePassedOnIsTaken": "signal 64 is its own"},
    "tests/e2e/test_preload.py": dict.fromkeys(
        (
            "Preload.test_haproxy_follows_at_each_request",
            "Preload.test_languages_that_ask_the_c_library_are_live_and_those_with_a_copy_are_not",
            "Preload.test_what_a_program_sets_by_itself_wins",
            "Preload.test_what_the_c_library_reads_for_itself_is_left_alone",
        ),
        PRELOAD,
    ),
    "tests/promises/test_never_more_rights_than_needed.py": {
        "NeverMoreRightsThanNeeded.test_no_task_holds_a_capability": TASKS
    },
    "tests/promises/test_rights_of_each_channel.py": dict.fromkeys(
        (
            "RightsOfEachChannel.test_each_channel_holds_what_the_page_says_and_no_more",
            "RightsOfEachChannel.test_require_unprivileged_keeps_not_even_that_one",
            "RightsOfEachChannel.test_with_equal_users_every_channel_works_without_any_capability",
        ),
        TASKS,
    ),
}

# file: why it was not run
LEFT_OUT = dict.fromkeys(
    ("tests/e2e/test_order_of_calls.py", "tests/e2e/test_system_calls.py"),
    "strace sees the emulator's calls among the program's",
)
