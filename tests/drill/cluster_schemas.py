# SPDX-License-Identifier: Apache-2.0
"""The schema by which script/test has kubeconform judge our manifests: what the server itself says of their kinds."""

import json
from pathlib import Path

KEPT = Path("tests/deploy/kubernetes-1.36.1.schema.json")
KINDS = {
    "api/v1": ("ConfigMap", "Namespace", "Pod", "Service"),
    "apis/apps/v1": ("DaemonSet", "Deployment", "StatefulSet"),
    "apis/batch/v1": ("CronJob", "Job"),
    "apis/networking.k8s.io/v1": ("NetworkPolicy",),
    "apis/admissionregistration.k8s.io/v1": (
        "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding",
        "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
    ),
    "apis/monitoring.coreos.com/v1": ("PodMonitor", "PrometheusRule"),
}  # fmt: skip
TALK = ("description", "default", "example", "externalDocs", "title")


def plain(node, name=None):
    """A schema without what is for people, in which unknown members are errors."""
    if isinstance(node, list):
        return [plain(each) for each in node]
    if not isinstance(node, dict):
        return node
    if name == "properties":
        return {key: plain(value) for key, value in node.items()}
    slim = {
        key: plain(value, key) for key, value in node.items() if key not in TALK and not key.startswith("x-kubernetes")
    }
    if "$ref" in slim:
        return {"$ref": slim["$ref"].replace("#/components/schemas/", "#/definitions/")}
    if "properties" in slim and "x-kubernetes-preserve-unknown-fields" not in node:
        slim.setdefault("additionalProperties", False)
    if node.get("x-kubernetes-int-or-string"):
        slim = {"type": ["integer", "string"]}
    if slim.get("format") in ("int32", "int64", "double", "byte", "date-time", "int-or-string"):
        del slim["format"]
    return slim


def references(node):
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"].rsplit("/", 1)[1]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def schema(cluster):
    """One schema for all our kinds: each is chosen by apiVersion and kind."""
    everything, choices, wanted = {}, [], []
    for group, kinds in KINDS.items():
        components = cluster.openapi(group)["components"]["schemas"]
        everything |= {name: plain(component) for name, component in components.items()}
        version = group.split("/", 1)[1]
        for kind in kinds:
            name = next(
                name for name, component in components.items()
                for each in component.get("x-kubernetes-group-version-kind", ())
                if each["kind"] == kind and version == "/".join(filter(None, (each["group"], each["version"])))
            )  # fmt: skip
            wanted.append(name)
            chosen = {"properties": {"apiVersion": {"const": version}, "kind": {"const": kind}}}
            choices.append({"if": chosen, "then": {"$ref": f"#/definitions/{name}"}})
    needed = {}
    while wanted:
        name = wanted.pop()
        if name not in needed:
            needed[name] = everything[name]
            wanted += references(everything[name])
    for name in needed:
        if name.endswith("ManagedFieldsEntry"):
            needed[name] = {"type": "object"}
    kinds = sorted(kind for each in KINDS.values() for kind in each)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$comment": "Made by script/drill cluster --update-schemas from the OpenAPI of kube-apiserver 1.36.1.",
        "type": "object", "required": ["apiVersion", "kind"], "properties": {"kind": {"enum": kinds}},
        "allOf": choices, "definitions": dict(sorted(needed.items())),
    }  # fmt: skip


def text(made):
    """One line for each definition, so that a difference can be read."""
    lines = [f'  "{name}": {json.dumps(node, sort_keys=True)}' for name, node in made["definitions"].items()]
    head = json.dumps({key: value for key, value in made.items() if key != "definitions"})
    return head[:-1] + ', "definitions": {\n' + ",\n".join(lines) + "\n}}\n"


def update(cluster):
    KEPT.write_text(text(schema(cluster)))
    print(f"{KEPT}: {KEPT.stat().st_size} bytes")


def same(cluster):
    assert KEPT.read_text() == text(schema(cluster)), (
        f"{KEPT} is not the server's: script/drill cluster --update-schemas"
    )
    return f"{KEPT.stat().st_size} bytes"


def check(drill):
    drill.check("the schema kept for script/test is this server's", lambda: same(drill.cluster))
