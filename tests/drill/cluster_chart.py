# SPDX-License-Identifier: Apache-2.0
"""The chart, by `helm install` on the server."""

import json
import shutil
from pathlib import Path

from cluster_manifests import create_pod, sidecar_of
from cluster_pods import ASKS, NEEDS, pod

from support.waiting import eventually

CHART = "deploy/helm/envdial"
MONITORING = "podMonitor.enabled=true,prometheusRule.enabled=true,dashboard.enabled=true"
VALUES = ("--set", "consul.address=http://consul:8500", "--set", MONITORING)
POLICIES = ("mutatingadmissionpolicy/envdial-inject", "validatingadmissionpolicy/envdial-require")


def helm(drill, *arguments):
    said = drill.helm(*arguments)
    assert said.code == 0, said.text
    return said.out


def upgrade(drill, *more):
    helm(drill, "upgrade", "envdial", CHART, *VALUES, *more)


def install(drill):
    helm(drill, "install", "envdial", CHART, *VALUES)
    for policy in (*POLICIES, "podmonitor/envdial", "prometheusrule/envdial", "configmap/envdial-dashboard"):
        said = drill.kubectl("get", policy)
        assert said.code == 0, said.text
    wait_for_policies(drill)
    return "both policies, PodMonitor, PrometheusRule, dashboard"


def creates(drill, thing):
    return drill.kubectl("create", "--dry-run=server", "-f", "-", "-o", "json", stdin=json.dumps(thing))


def wait_for_policies(drill):
    """The server takes up new policies by watching itself, so a moment passes."""
    bare, asks = pod("bare", labels=NEEDS), pod("asks", ASKS)
    eventually("the second policy is in force", lambda: "envdial-require" in creates(drill, bare).err, 30, every=0.2)
    eventually("the first policy is in force", lambda: "envdial-metrics" in creates(drill, asks).out, 30, every=0.2)


def by_dependency(drill, copy):
    helm(drill, "dependency", "build", copy, "--skip-refresh")
    helm(drill, "install", "hunt-by-helm", copy)
    deployment = json.loads(drill.kubectl("get", "deployment", "hunt-by-helm", "-o", "json").out)
    _, place = sidecar_of(create_pod(drill, deployment)["spec"])
    helm(drill, "upgrade", "hunt-by-helm", copy, "--set", "envdial.native=false")
    deployment = json.loads(drill.kubectl("get", "deployment", "hunt-by-helm", "-o", "json").out)
    _, other = sidecar_of(create_pod(drill, deployment)["spec"])
    drill.kubectl("delete", "pods", "--all", "--force", "--grace-period=0")
    helm(drill, "uninstall", "hunt-by-helm")
    return f"{place}; after an upgrade with native=false: {other}"


def forgotten(drill):
    said = drill.helm("install", "bare", "tests/deploy/charts/bare")
    assert said.code != 0, "it was installed"
    for part in ("envdial-require", "Deployment bare needs envdial", 'include "envdial.sidecar"'):
        assert part in said.err, said.err
    return "refused: …" + said.err.split("denied request: ")[1].strip()[:90] + "…"


def warning(drill):
    upgrade(drill, "--set", "admission.actions={Warn,Audit}")

    def warned():
        said = creates(drill, pod("bare", labels=NEEDS))
        return said.code == 0 and "needs envdial" in said.err

    eventually("it is warned of", warned, 30, every=0.2)
    upgrade(drill)
    wait_for_policies(drill)
    return "a warning, and taken"


def exempt(drill):
    upgrade(drill, "--set", "admission.exemptNamespaces={hunt}")

    def free():
        return creates(drill, pod("bare", labels=NEEDS)).code == 0

    eventually("the namespace is let alone", free, 30, every=0.2)
    upgrade(drill)
    eventually("it is looked at again", lambda: not free(), 30, every=0.2)
    return "let alone, and looked at again"


def check(drill):
    copy = drill.cluster.where / "charts" / "hunt"
    shutil.copytree("tests/deploy/charts/hunt", copy)
    # helm puts the dependency into the chart's folder: not into the checkout's.
    text = (copy / "Chart.yaml").read_text()
    (copy / "Chart.yaml").write_text(text.replace("../../../..", str(Path.cwd())))
    drill.check(f"helm install envdial {CHART}", lambda: install(drill))
    drill.check("helm install of a chart that includes envdial.sidecar", lambda: by_dependency(drill, copy))
    drill.check("helm install of a chart that forgot it", lambda: forgotten(drill))
    drill.check("admission.actions: Warn, Audit", lambda: warning(drill))
    drill.check("admission.exemptNamespaces", lambda: exempt(drill))
