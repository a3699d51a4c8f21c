# SPDX-License-Identifier: Apache-2.0
"""What qemu's user emulation can't, so that script/drill arm64 judges by it: no more may fail, and no less."""

AIO = "there is no Linux AIO in it (io_setup: ENOSYS)"

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
    "fallback": {"StoreOnDirectory.SyncsByTheRealDisk": AIO},
    "inject": {"ScanByExe.FindsOthersAndNeverItself": "/proc/PID/exe of another process that it runs names itself"},
    "sidecar": {
        "SignalInboxTest.EverySignalThatCanBePassedOnIsTaken": "signal 64 is its own",
        "StoreKeeperTest.GoesOnWithoutADirectoryAndTriesUntilThereIsOne": AIO,
        "StoreKeeperTest.SavesSyncsAndIsReadAgain": AIO,
        "StoreKeeperTest.WhatCannotBeSyncedIsSavedAndStandsAsFailedUntilItCan": AIO,
    },
}

# file: why it was not run
LEFT_OUT = {}
