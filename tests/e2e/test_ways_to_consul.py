# SPDX-License-Identifier: Apache-2.0
"""Unix sockets, several addresses, and names whose addresses are several or change, before a real Consul."""

import os

from support import processes
from support.case import KEY, EndToEndTest, one_dial
from support.waiting import eventually

AS_ROOT = () if os.geteuid() == 0 else ("--user", "--map-root-user")
NAME = "consul.test"


class WaysToConsul(EndToEndTest):
    def next_value(self):
        self.value = getattr(self, "value", 500) + 1
        self.consul.put(KEY, self.value)
        return self.value

    def pod(self, *addresses, **options):
        more = [flag for address in addresses[1:] for flag in ("--consul-addr", address)]
        return self.sidecar(addresses[0], *more, *one_dial("--default", 5), **options)

    def source(self, pod):
        return pod.status()["groups"][0]["source"]["address"]

    def test_an_agent_on_a_unix_socket(self):
        path = self.where / "agent.sock"
        both = f'addresses {{ http = "127.0.0.1 unix://{path}" }}'
        self.consul = self.start_consul(config=both, keep_data=True)
        value = self.next_value()
        pod = self.pod(f"unix://{path}").start_ready()
        pod.wait_env(MAX_CONCURRENT=value)
        self.assertEqual(self.source(pod), f"unix://{path}")
        self.consul.kill()
        pod.wait_log(r"no answer that can be used \(refused\)")
        self.consul.start()
        pod.wait_env(MAX_CONCURRENT=self.next_value())

    def test_several_addresses(self):
        """One that nobody listens on, one where a Consul hangs, and two that work: the one that answers is kept."""
        self.consul = self.start_consul()
        hung = self.start_consul()
        hung.freeze()
        first, second = self.gate(self.consul), self.gate(self.consul)
        value = self.next_value()
        pod = self.pod(self.closed_port(), hung.address, first.address, second.address).start()
        pod.wait_env(MAX_CONCURRENT=value, within=30)
        self.assertEqual(self.source(pod), f"http://{first.address}")
        for _ in range(3):
            pod.wait_env(MAX_CONCURRENT=self.next_value())
        self.assertEqual(second.requests, 0)
        first.shut()
        pod.wait_env(MAX_CONCURRENT=self.next_value(), within=30)
        self.assertEqual(self.source(pod), f"http://{second.address}")
        first.open()
        pod.wait_env(MAX_CONCURRENT=self.next_value())
        self.assertEqual(self.source(pod), f"http://{second.address}")

    def named_pod(self, port, *hosts):
        """One for whom NAME has these addresses."""
        self.hosts_file = self.where / "hosts"
        self.point_to(*hosts)
        bind = 'mount --bind "$0" /etc/hosts && exec "$@"'
        before = ["unshare", *AS_ROOT, "--mount", "sh", "-c", bind, self.hosts_file]
        return self.pod(f"{NAME}:{port}", before=before)

    def point_to(self, *hosts):
        self.hosts_file.write_text("".join(f"{host} {NAME}\n" for host in hosts))

    def test_a_name_with_several_addresses_of_both_families(self):
        self.consul = self.start_consul()
        port = processes.free_port()
        ipv4, ipv6 = self.gate(self.consul, "127.0.0.3", port), self.gate(self.consul, "::1", port)
        value = self.next_value()
        pod = self.named_pod(port, "127.0.0.2", ipv4.host, ipv6.host).start_ready()  # nobody listens at the first one
        pod.wait_env(MAX_CONCURRENT=value)
        ipv4.shut()
        pod.wait_env(MAX_CONCURRENT=self.next_value())
        ipv4.open()
        ipv6.shut()
        pod.wait_env(MAX_CONCURRENT=self.next_value())

    def test_a_name_that_goes_over_to_another_address(self):
        self.consul = self.start_consul()
        port = processes.free_port()
        old, new = (self.gate(self.consul, host, port) for host in ("127.0.0.2", "127.0.0.3"))
        value = self.next_value()
        pod = self.named_pod(port, old.host).start_ready()
        pod.wait_env(MAX_CONCURRENT=value)
        self.point_to(new.host)
        pod.wait_env(MAX_CONCURRENT=self.next_value())
        self.assertEqual(new.requests, 0)  # what works is not asked about again
        old.shut()
        pod.wait_env(MAX_CONCURRENT=self.next_value())
        eventually("the new address is asked", lambda: new.requests > 0)
