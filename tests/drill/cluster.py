# SPDX-License-Identifier: Apache-2.0
"""What `script/drill cluster` does: asks a real API server what it makes of everything in deploy/. Needs
ENVDIAL_KUBERNETES (its programs), ENVDIAL_HELM and ENVDIAL_BINARY."""

import argparse
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cluster_admission  # noqa: E402  (found only now)
import cluster_chart  # noqa: E402
import cluster_docs  # noqa: E402
import cluster_manifests  # noqa: E402
import cluster_schemas  # noqa: E402
from support import report  # noqa: E402
from support.kubernetes import Cluster, run  # noqa: E402

NAMESPACE = "hunt"


class Drill:
    """The cluster, and what was found."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.rows, self.failures = [], []

    def kubectl(self, *arguments, stdin=None):
        return self.cluster.kubectl("--namespace", NAMESPACE, *arguments, stdin=stdin)

    def helm(self, *arguments):
        return run(os.environ["ENVDIAL_HELM"], "--namespace", NAMESPACE, *arguments, env=self.cluster.env())

    def check(self, what, action):
        """Runs one check: it returns what was seen, or raises."""
        start = time.monotonic()
        try:
            seen = action() or "as expected"
        except Exception as wrong:  # noqa: BLE001  (whatever it is, the other checks go on)
            seen = "FAILED"
            self.failures.append(f"{what}: {wrong}")
            if not isinstance(wrong, AssertionError):
                traceback.print_exc()
        self.rows.append((what, seen, f"{time.monotonic() - start:.1f} s"))


def prepare(drill):
    """What every cluster has, and is made by controllers elsewhere."""
    version = drill.kubectl("version").out.split("Server Version: ")[1].strip()
    assert version == "v1.36.1", version
    crds = Path(os.environ["ENVDIAL_KUBERNETES"]) / "crds"
    said = drill.cluster.kubectl("apply", "--server-side", "-f", crds)
    assert said.code == 0, said.text
    said = drill.cluster.kubectl("apply", "-f", "deploy/kubernetes/namespace.yaml")
    assert said.code == 0, said.text
    said = drill.kubectl("create", "serviceaccount", "default")
    assert said.code == 0, said.text
    said = drill.kubectl("wait", "--for=condition=established", "--timeout=60s", "crd", "--all")
    assert said.code == 0, said.text
    return version


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--update-schemas", action="store_true", help="only renew tests/deploy/schemas")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="envdial-cluster-") as where:
        cluster = Cluster(os.environ["ENVDIAL_KUBERNETES"], where)
        try:
            drill = Drill(cluster.start())
            drill.check("the API server, the operator's CRDs, the namespace", lambda: prepare(drill))
            if chosen.update_schemas:
                cluster_schemas.update(cluster)
            else:
                cluster_schemas.check(drill)
                cluster_manifests.check(drill)
                cluster_chart.check(drill)
                cluster_admission.check(drill)
                cluster_docs.check(drill)
        finally:
            cluster.stop()
    print()
    report.print_table([("what", "seen", "took"), *drill.rows])
    for failure in drill.failures:
        print(f"\nFAILED: {failure}")
    print(f"\n{len(drill.rows) - len(drill.failures)} passed, {len(drill.failures)} failed")
    sys.exit(bool(drill.failures))


if __name__ == "__main__":
    main()
