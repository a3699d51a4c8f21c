# SPDX-License-Identifier: Apache-2.0
"""Running helm and kubeconform, as script/test names them."""

import os
import shutil
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
CHART = TOP / "deploy/helm/envdial"
KUBERNETES = "1.36.1"


def helm(*arguments):
    program = os.environ.get("ENVDIAL_HELM")
    if not program:
        raise AssertionError("ENVDIAL_HELM is not set: script/test does it, script/setup --print-helm says what to")
    return subprocess.run([program, *map(str, arguments)], check=False, capture_output=True, text=True)


def template(release, chart, *arguments, kubernetes=KUBERNETES):
    return helm("template", release, chart, "--kube-version", kubernetes, *arguments)


def with_dependency(where):
    """The chart `hunt` with ours in its charts/, as `helm dependency build` would have it."""
    chart = shutil.copytree(TOP / "tests/deploy/charts/hunt", Path(where) / "hunt")
    shutil.copytree(CHART, chart / "charts/envdial")
    return chart


def kubeconform(*arguments, stdin=None):
    program = os.environ.get("ENVDIAL_KUBECONFORM")
    if not program:
        raise AssertionError("ENVDIAL_KUBECONFORM is not set: script/test does it")
    schema = TOP / "tests/deploy/kubernetes-1.36.1.schema.json"
    command = [program, "-schema-location", str(schema), "-summary", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, input=stdin)
