# SPDX-License-Identifier: Apache-2.0
"""What the policies add, and what they refuse. The chart envdial is installed."""

import copy
import json

import yaml
from cluster_manifests import FOLDER, apply_one, run_sidecar, sidecar_of
from cluster_pods import ASKS, NEEDS, PLAIN, SIDECAR, container, pod, workload


def create(drill, thing):
    """As the server would keep it; nothing is kept."""
    said = drill.kubectl("create", "--dry-run=server", "-f", "-", "-o", "json", stdin=json.dumps(thing))
    assert said.code == 0, said.text
    return json.loads(said.out)


def names(containers):
    return [each["name"] for each in containers]


def run_dir_seen_by(spec):
    return [
        each["name"] for each in spec["containers"]
        if any(mount["mountPath"] == "/run/envdial" and mount["readOnly"] for mount in each.get("volumeMounts", []))
    ]  # fmt: skip


def added(drill, *, init=None, order=("envdial",), annotations=None, seen_by=("hunt",), **spec):
    """The sidecar is there, where it should be, whole, and seen by the app."""
    spec = create(drill, pod("asks", ASKS | (annotations or {}), init=init, **spec))["spec"]
    assert tuple(names(spec["initContainers"])) == order, names(spec["initContainers"])
    sidecar, _ = sidecar_of(spec)
    assert sidecar["restartPolicy"] == "Always" and sidecar["startupProbe"]["exec"], sidecar
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert volumes["envdial-run"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "4Mi"}, volumes
    assert volumes["envdial-dials"]["configMap"]["name"] == "hunt-dials", volumes
    assert {mount["name"] for mount in sidecar["volumeMounts"]} <= set(volumes), sidecar
    assert tuple(run_dir_seen_by(spec)) == seen_by, run_dir_seen_by(spec)
    return spec, sidecar


def order_of(drill, **more):
    spec, _ = added(drill, **more)
    return ", ".join(names(spec["initContainers"]))


def every_container(drill):
    """They keep the volumes and mounts that they had."""
    thing = pod(
        "asks", ASKS, containers=[container(), container("other", volumeMounts=[{"name": "tmp", "mountPath": "/tmp"}])]
    )
    thing["spec"]["volumes"] = [{"name": "tmp", "emptyDir": {}}]
    spec = create(drill, thing)["spec"]
    assert run_dir_seen_by(spec) == ["hunt", "other"], spec["containers"]
    assert "/tmp" in [mount["mountPath"] for mount in spec["containers"][1]["volumeMounts"]], spec["containers"]
    return "hunt, other"


def rights(drill):
    """The modes by which the app of another user can read, with an fsGroup and without."""
    _, grouped = added(drill, fs_group=2000)
    assert "0644" not in grouped["args"], grouped["args"]
    _, alone = added(drill)
    assert alone["args"][-4:] == ["--env-file-mode", "0644", "--socket-mode", "0666"], alone["args"]
    assert "runAsUser" not in alone["securityContext"], "it has the pod's user"
    bare = pod("asks", ASKS)
    bare["spec"]["securityContext"].pop("runAsUser")
    sidecar, _ = sidecar_of(create(drill, bare)["spec"])
    assert sidecar["securityContext"]["runAsUser"] == 65532, sidecar["securityContext"]
    return "fsGroup: 0640, 0660; none: 0644, 0666"


def consul(drill):
    annotations = {
        "envdial.dev/consul-addr": "https://$(HOST_IP):8501", "envdial.dev/consul-ca-secret": "ca",
        "envdial.dev/consul-tls-server-name": "server.dc1.consul", "envdial.dev/consul-token-secret": "token",
    }  # fmt: skip
    spec, sidecar = added(drill, annotations=annotations)
    env = {each["name"]: each.get("value") for each in sidecar["env"]}
    assert env["ENVDIAL_CONSUL_ADDR"] == "https://$(HOST_IP):8501" and next(iter(env)) == "HOST_IP", env
    assert env["CONSUL_CACERT"] == "/etc/envdial/ca/tls.crt", env
    assert env["CONSUL_HTTP_TOKEN_FILE"] == "/etc/envdial/token/token", env
    assert env["CONSUL_TLS_SERVER_NAME"] == "server.dc1.consul", env
    secrets = {volume["secret"]["secretName"] for volume in spec["volumes"] if "secret" in volume}
    assert secrets == {"ca", "token"}, secrets
    _, sidecar = added(drill)
    assert {"name": "ENVDIAL_CONSUL_ADDR", "value": "http://consul:8500"} in sidecar["env"], sidecar["env"]
    return "by annotation; else the chart's"


def untouched(drill):
    for thing in (
        pod("quiet"),
        pod("has-one", ASKS, init=[SIDECAR]),
        pod("has-one", ASKS, containers=[container(), PLAIN]),
    ):
        spec = create(drill, thing)["spec"]
        assert len(spec.get("initContainers", [])) + len(spec["containers"]) <= 2, spec
        assert not [volume for volume in spec["volumes"] if volume["name"].startswith("envdial")], spec["volumes"]
    return "none asked for, native, plain"


def runs(drill):
    """The sidecar as the server would keep it is one that runs."""
    _, sidecar = added(drill)
    dials = yaml.safe_load((FOLDER / "dials.yaml").read_text())["data"]["dials.json"]
    return "published " + " ".join(run_sidecar(sidecar, dials).split())


def refused(drill, thing, *parts):
    """The server refuses it, by our policy, and says all of `parts`."""
    said = drill.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(thing))
    assert said.code != 0, f"it was taken: {said.text}"
    for part in ("ValidatingAdmissionPolicy 'envdial-require'", *parts):
        assert part in said.err, said.err
    return "refused: …" + said.err.split("denied request: ")[1].strip()[:90] + "…"


def taken(drill, thing):
    create(drill, thing)
    return "taken"


def broken(change):
    sidecar = copy.deepcopy(SIDECAR)
    sidecar.pop(change)
    return sidecar


def changes(drill):
    """What was there before the policy may be annotated and ended, but not changed and kept wrong."""
    label = json.dumps(workload("Deployment", labels={}))
    assert drill.kubectl("create", "-f", "-", stdin=label).code == 0
    try:
        bad = drill.kubectl("apply", "-f", "-", stdin=json.dumps(workload("Deployment")))
        assert bad.code != 0 and "envdial-require" in bad.err, bad.text
        said = drill.kubectl("label", "deployment", "bare", "envdial.dev/required=true")
        assert said.code != 0 and "envdial-require" in said.err, said.text
        assert drill.kubectl("annotate", "deployment", "bare", "note=1").code == 0
    finally:
        assert drill.kubectl("delete", "deployment", "bare").code == 0
    return "refused on update, too"


def inject(drill):
    mine = container("migrate")
    drill.check("injected: a pod without init containers", lambda: order_of(drill))
    drill.check("injected: a pod with an empty list of them", lambda: order_of(drill, init=[]))
    drill.check(
        "injected: a pod with one of its own", lambda: order_of(drill, init=[mine], order=("envdial", "migrate"))
    )
    last = {"envdial.dev/order": "last"}
    drill.check("injected: … and order last",
                lambda: order_of(drill, init=[mine], order=("migrate", "envdial"), annotations=last))  # fmt: skip
    drill.check("injected: all containers see the values", lambda: every_container(drill))
    only = {"envdial.dev/containers": "app, hunt"}
    drill.check("injected: only those that the annotation names", lambda: ", ".join(run_dir_seen_by(
        added(drill, containers=[container(), container("other")], annotations=only)[0])))  # fmt: skip
    drill.check("injected: modes and user", lambda: rights(drill))
    drill.check("injected: Consul's address, CA, name and token", lambda: consul(drill))
    drill.check("injected: the sidecar runs", lambda: runs(drill))
    drill.check("not injected", lambda: untouched(drill))


def require(drill):
    kinds = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")
    for kind in kinds:
        drill.check(f"required: {kind} without", lambda kind=kind: refused(
            drill, workload(kind), f"{kind} bare needs envdial", "add the container envdial"))  # fmt: skip
        drill.check(
            f"required: {kind} with a native one", lambda kind=kind: taken(drill, workload(kind, init=[SIDECAR]))
        )
        drill.check(
            f"required: {kind} that asks for one", lambda kind=kind: taken(drill, workload(kind, annotations=ASKS))
        )
    drill.check("required: Pod without", lambda: refused(drill, pod("bare", labels=NEEDS), "Pod bare needs envdial"))
    drill.check("required: Pod that asks and gets one", lambda: taken(drill, pod("bare", ASKS, labels=NEEDS)))
    drill.check("required: a plain one beside the app",
                lambda: taken(drill, workload("Deployment", containers=[container(), PLAIN])))  # fmt: skip
    drill.check("required: a native one without a startup probe", lambda: refused(
        drill, workload("Deployment", init=[broken("startupProbe")]), "has no startupProbe", "probe, startup"))  # fmt: skip
    init_only = {key: value for key, value in SIDECAR.items() if key not in ("restartPolicy", "startupProbe")}
    drill.check("required: an init container that is no sidecar", lambda: refused(
        drill, workload("Deployment", init=[init_only]), "no restartPolicy: Always"))  # fmt: skip
    drill.check("asked for: without dials", lambda: refused(
        drill, pod("asks", {"envdial.dev/inject": "true"}), "does not say which dials"))  # fmt: skip
    drill.check("not required: without", lambda: taken(drill, workload("Deployment", labels={})))
    drill.check("required: a change of what is there", lambda: changes(drill))


def check(drill):
    inject(drill)
    drill.check("deploy/kubernetes/injected.yaml", lambda: apply_one(drill, FOLDER / "injected.yaml"))
    require(drill)
