# SPDX-License-Identifier: Apache-2.0
"""Pods and workloads to ask a server about; each would pass the restricted Pod Security profile."""

ASKS = {"envdial.dev/inject": "true", "envdial.dev/dials": "hunt-dials"}
NEEDS = {"envdial.dev/required": "true"}
RIGHTS = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
STARTUP = {"exec": {"command": ["/envdial", "probe", "startup"]}, "periodSeconds": 1, "failureThreshold": 60}
SIDECAR = {
    "name": "envdial", "image": "envdial:dev", "restartPolicy": "Always", "startupProbe": STARTUP,
    "securityContext": RIGHTS,
}  # fmt: skip
PLAIN = {key: value for key, value in SIDECAR.items() if key != "restartPolicy"}


def container(name="hunt", **more):
    return {"name": name, "image": "hunt:dev", "securityContext": RIGHTS} | more


def pod_spec(init=None, containers=None, fs_group=None, user=10001):
    security = {"runAsNonRoot": True, "runAsUser": user, "seccompProfile": {"type": "RuntimeDefault"}}
    if fs_group:
        security["fsGroup"] = fs_group
    spec = {"containers": containers or [container()], "securityContext": security}
    return spec | ({"initContainers": init} if init is not None else {})


def pod(name, annotations=None, labels=None, **spec):
    return {
        "apiVersion": "v1", "kind": "Pod", "spec": pod_spec(**spec),
        "metadata": {"name": name, "annotations": annotations or {}, "labels": labels or {}},
    }  # fmt: skip


def workload(kind, annotations=None, labels=NEEDS, **spec):
    """A workload `bare` whose pod template has these annotations and labels."""
    template = {
        "metadata": {"labels": {"app": "bare"} | labels, "annotations": annotations or {}},
        "spec": pod_spec(**spec) | ({"restartPolicy": "Never"} if kind in ("Job", "CronJob") else {}),
    }
    api = "batch/v1" if kind in ("Job", "CronJob") else "apps/v1"
    chosen = {"selector": {"matchLabels": {"app": "bare"}}, "template": template}
    if kind == "Job":
        chosen = {"template": template}
    elif kind == "CronJob":
        chosen = {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": template}}}
    elif kind == "StatefulSet":
        chosen["serviceName"] = "bare"
    return {"apiVersion": api, "kind": kind, "metadata": {"name": "bare"}, "spec": chosen}
