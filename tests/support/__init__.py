# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests, the demo and the benchmarks share: a real Consul, a running sidecar, and watchers."""
