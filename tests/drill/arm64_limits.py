# SPDX-License-Identifier: Apache-2.0
"""What qemu's user emulation can't, so that script/drill arm64 judges by it: no more may fail, and no less."""

# In whose place stands tests/drill/arm64_libaio.c; these go round it.
AIO = "there is no Linux AIO in it"

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
    "inject": {"ScanByExe.FindsOthersAndNeverItself": "/proc/PID/exe of another process that it runs names itself"},
    "sidecar": {"SignalInboxTest.EverySignalThatCanBePassedOnIsTaken": "signal 64 is its own"},
}

# file: why it was not run
LEFT_OUT = {}
