# SPDX-License-Identifier: Apache-2.0
"""The chart: what it renders, what it refuses, and with which words. The server's view: script/drill cluster."""

import difflib
import json
import os
import tempfile
import unittest

import yaml
from helm import CHART, TOP, helm, kubeconform, template, with_dependency

GOLDEN = TOP / "tests/deploy/golden"
HEAD = "# SPDX-License-Identifier: Apache-2.0\n# Made by: ENVDIAL_UPDATE_GOLDEN=yes script/test deploy\n"
# The whole chart, and the plain form of its policies in deploy/kubernetes.
CLUSTER_WIDE = {
    TOP / "deploy/kubernetes/admission.yaml": ("--set", "consul.address=http://consul:8500"),
    GOLDEN / "everything.yaml": (
        *("--set", "podMonitor.enabled=true,podMonitor.labels.release=prometheus,metricsPort=9200"),
        *("--set", "admission.actions={Warn,Audit},admission.exemptNamespaces={kube-system,envdial}"),
        *("--set", "consul.caSecret.name=ca,consul.tokenSecret.name=token,consul.datacenter=dc1"),
        *("--set", "extraArgs={--consistency,stale},image.digest=sha256:" + 64 * "0"),
    ),
}
# The sidecar in another chart.
INCLUDED = {
    GOLDEN / "native.yaml": (),
    GOLDEN / "plain.yaml": ("--set", "envdial.native=false,envdial.openToPod=true,envdial.readyOnlyWhenFresh=true"),
    GOLDEN / "tls-and-token.yaml": (
        *("--set", "envdial.consul.address=https://$(HOST_IP):8501,envdial.consul.tlsServerName=server.dc1.consul"),
        *("--set", "envdial.consul.caSecret.name=ca,envdial.consul.tokenSecret.name=token"),
        *("--set", "envdial.consul.clientCertSecret.name=pair,envdial.consul.datacenter=dc1"),
        *(
            "--set",
            "envdial.state.claim=hunt-state,envdial.dials.key=hunt.json,envdial.extraArgs={--consistency,stale}",
        ),
        *("--set", "envdial.extraEnv[0].name=CONSUL_NAMESPACE,envdial.extraEnv[0].value=team"),
    ),
}
# What a values file may not say, and a part of what helm then says.
REFUSED = {
    "consul.adress=http://consul:8500": "adress",
    "consul.address=two words": "/consul/address",
    "image.repository=": "/image/repository",
    "image.digest=latest": "/image/digest",
    "image.pullPolicy=Sometimes": "/image/pullPolicy",
    "native=perhaps": "/native",
    "metricsPort=80": "/metricsPort",
    "admission.actions={Deny,Warn}": "/admission/actions",
    "admission.actions={Forbid}": "/admission/actions",
    "dials.configMap=Not_A_Name": "/dials/configMap",
    "podMonitor.interval=often": "/podMonitor/interval",
    "prometheusRule.enabled=1": "/prometheusRule/enabled",
    "replicas=3": "replicas",
}


class Chart(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        where = tempfile.TemporaryDirectory(prefix="envdial-chart-")
        self.addCleanup(where.cleanup)
        self.including = with_dependency(where.name)

    def rendered(self, *arguments, **more):
        said = template(*arguments, **more)
        self.assertEqual(said.returncode, 0, said.stderr)
        return said.stdout

    def failure(self, *arguments, **more):
        said = template(*arguments, **more)
        self.assertNotEqual(said.returncode, 0, said.stdout)
        return said.stderr

    def assert_golden(self, path, text):
        text = HEAD + text
        if os.environ.get("ENVDIAL_UPDATE_GOLDEN"):
            path.write_text(text)
        difference = difflib.unified_diff(path.read_text().splitlines(), text.splitlines(), "kept", "now", lineterm="")
        self.assertEqual("", "\n".join(difference), f"{path}: if this is meant, ENVDIAL_UPDATE_GOLDEN=yes renews it")

    def test_lint(self):
        for chart in (CHART, self.including):
            said = helm("lint", "--strict", chart, "--kube-version", "1.36.1")
            self.assertEqual(said.returncode, 0, said.stdout + said.stderr)

    def test_golden_files(self):
        for path, arguments in CLUSTER_WIDE.items():
            with self.subTest(path=path.name):
                self.assert_golden(path, self.rendered("envdial", CHART, *arguments))
        for path, arguments in INCLUDED.items():
            with self.subTest(path=path.name):
                self.assert_golden(path, self.rendered("hunt", self.including, *arguments))
        kept = set(GOLDEN.iterdir()) - set(CLUSTER_WIDE) - set(INCLUDED)
        self.assertEqual(kept, set(), "nothing makes these any more")

    def test_what_is_rendered_is_what_the_server_knows(self):
        for path in (*CLUSTER_WIDE, *INCLUDED):
            with self.subTest(path=path.name):
                said = kubeconform(path)
                self.assertEqual(said.returncode, 0, said.stdout + said.stderr)

    def test_the_included_sidecar_is_that_of_the_manifests(self):
        included = next(yaml.safe_load_all(self.rendered("hunt", self.including)))["spec"]["template"]["spec"]
        copied = yaml.safe_load((TOP / "deploy/kubernetes/deployment.yaml").read_text())["spec"]["template"]["spec"]
        ours, theirs = included["initContainers"][0], copied["initContainers"][0]
        # There for the whole pod; here for each container, whose pod is another's.
        for name in ("runAsNonRoot", "seccompProfile"):
            self.assertEqual(ours["securityContext"].pop(name), copied["securityContext"][name])
        self.assertEqual(ours.pop("env"), [{"name": "ENVDIAL_CONSUL_ADDR", "value": "http://consul:8500"}])
        self.assertEqual(theirs.pop("env"), [{"name": "CONSUL_HTTP_ADDR", "value": "http://consul:8500"}])
        self.assertEqual(ours, theirs)
        self.assertEqual(included["volumes"], copied["volumes"])

    def test_alerts_and_dashboard_are_those_of_deploy(self):
        switches = "prometheusRule.enabled=true,dashboard.enabled=true,admission.inject=false,admission.require=false"
        text = self.rendered("envdial", CHART, "--set", switches)
        dashboard, rule = sorted(yaml.safe_load_all(text), key=lambda document: document["kind"])
        self.assertEqual(rule["spec"], yaml.safe_load((TOP / "deploy/prometheus/envdial.rules.yaml").read_text()))
        kept = json.loads((TOP / "deploy/grafana/envdial.json").read_text())
        self.assertEqual(json.loads(dashboard["data"]["envdial.json"]), kept)
        said = kubeconform("-", stdin=text)
        self.assertEqual(said.returncode, 0, said.stdout + said.stderr)

    def test_a_dependency_installs_nothing_cluster_wide(self):
        kinds = [each["kind"] for each in yaml.safe_load_all(self.rendered("hunt", self.including))]
        self.assertEqual(kinds, ["Deployment"])

    def test_refusals_say_what_to_do(self):
        cases = (
            (self.including, "envdial.consul.address=", "1.36.1", "envdial: consul.address is empty: set it to"),
            (self.including, "envdial.dials.configMap=", "1.36.1", "envdial: dials.configMap is empty: set it to"),
            (CHART, "native=true", "1.35.0", "admission.inject needs Kubernetes 1.36, and this is v1.35.0: set"),
            (CHART, "admission.inject=false", "1.29.0", "admission.require needs Kubernetes 1.30, and this is v1.29.0"),
            (CHART, "native=true", "1.22.0", "kubeVersion: >=1.23.0-0"),
        )
        for chart, values, version, words in cases:
            with self.subTest(values=values, version=version):
                self.assertIn(words, self.failure("hunt", chart, "--set", values, kubernetes=version))

    def test_an_older_server_gets_what_it_knows(self):
        parts = self.rendered("envdial", CHART, "--set", "admission.inject=false", kubernetes="1.30.0")
        kinds = [each["kind"] for each in yaml.safe_load_all(parts)]
        self.assertEqual(kinds, ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"])
        self.assertEqual(self.rendered("hunt", self.including, kubernetes="1.29.0").count("kind:"), 1)

    def test_the_schema_refuses(self):
        for values, words in REFUSED.items():
            with self.subTest(values=values):
                said = self.failure("envdial", CHART, "--set", values)
                self.assertIn("values don't meet the specifications of the schema", said)
                self.assertIn(words.strip("/").replace("/", "."), said.replace("/", ".").replace("'", ""))

    def test_the_schema_knows_every_default(self):
        schema = json.loads((CHART / "values.schema.json").read_text())
        values = yaml.safe_load((CHART / "values.yaml").read_text())
        self.assertEqual(set(schema["properties"]) - {"global"}, set(values))


if __name__ == "__main__":
    unittest.main()
