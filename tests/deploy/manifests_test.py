# SPDX-License-Identifier: Apache-2.0
"""The plain manifests and the Kustomize component: valid, and all with the same sidecar.

The server's view of them: script/drill cluster.
"""

import copy
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

import yaml
from helm import TOP, kubeconform

FOLDER = TOP / "deploy/kubernetes"
KUSTOMIZE = TOP / "deploy/kustomize"
# What may differ from the sidecar of deployment.yaml.
DIFFERS = {
    "before-1.29.yaml": {"restartPolicy"},
    "consul-by-host-ip.yaml": {"env"},
    "consul-by-service.yaml": {"env", "volumeMounts"},
    "sidecar.yaml": {"env", "envFrom", "securityContext"},
    "sidecar-in-cronjob.yaml": {"env", "envFrom", "securityContext"},
}


def documents(path):
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def pod_spec(document):
    spec = document["spec"]
    if document["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    return spec["template"]["spec"]


def sidecars(path):
    for document in documents(path):
        if document["kind"] in ("Deployment", "StatefulSet", "Job", "CronJob"):
            spec = pod_spec(document)
            for each in (*spec.get("initContainers", ()), *spec.get("containers", ())):
                if each["name"] == "envdial":
                    yield each


class Manifests(unittest.TestCase):
    def test_all_are_valid(self):
        said = kubeconform("-strict", FOLDER)
        self.assertEqual(said.returncode, 0, said.stdout + said.stderr)
        self.assertIn("Invalid: 0, Errors: 0, Skipped: 0", said.stdout)

    def test_mistakes_are_found(self):
        good = documents(FOLDER / "deployment.yaml")[0]
        mistakes = {
            "a misspelt field": lambda spec: spec["initContainers"][0].update(startupprobe={}),
            "a wrong type": lambda spec: spec["initContainers"][0].update(image=7),
            "a missing name": lambda spec: spec["containers"][0].pop("name"),
            "an unknown field of the pod": lambda spec: spec.update(sidecars=[]),
        }
        for what, plant in mistakes.items():
            with self.subTest(what=what):
                bad = copy.deepcopy(good)
                plant(pod_spec(bad))
                said = kubeconform("-", stdin=yaml.safe_dump(bad))
                self.assertNotEqual(said.returncode, 0, said.stdout)

    def test_all_have_the_same_sidecar(self):
        (wanted,) = sidecars(FOLDER / "deployment.yaml")
        seen = 0
        for path in (*sorted(FOLDER.glob("*.yaml")), KUSTOMIZE / "sidecar.yaml", KUSTOMIZE / "sidecar-in-cronjob.yaml"):
            for sidecar in sidecars(path):
                seen += 1
                names = set(wanted) | set(sidecar)
                differs = {name for name in names if wanted.get(name) != sidecar.get(name)}
                self.assertEqual(differs, DIFFERS.get(path.name, set()), path.name)
        self.assertEqual(seen, 9)

    def test_the_dials_are_good(self):
        text = documents(FOLDER / "dials.yaml")[0]["data"]["dials.json"]
        with tempfile.TemporaryDirectory() as where:
            path = Path(where) / "dials.json"
            path.write_text(text)
            for file in (path, TOP / "tests/deploy/kustomize/dials.json"):
                said = subprocess.run(
                    [os.environ["ENVDIAL_BINARY"], "check", file], check=False, capture_output=True, text=True
                )
                self.assertEqual(said.returncode, 0, said.stdout + said.stderr)

    def test_liveness_and_readiness_never_ask_consul(self):
        for path in FOLDER.glob("*.yaml"):
            for sidecar in sidecars(path):
                self.assertEqual(sidecar["livenessProbe"]["exec"]["command"], ["/envdial", "probe", "live"])
                self.assertNotIn("readinessProbe", sidecar)


if __name__ == "__main__":
    unittest.main()
