"""Operator and runner answer on the pod's address, whether the cluster speaks IPv4 or IPv6."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.kubernetes


def test_both_listen_on_every_address_of_both_families_by_default() -> None:
    command = f"ip link set lo up && exec {sys.executable} -m tests.api.listeners"
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", command], capture_output=True, text=True, timeout=60, check=False
    )
    expected = [f"{path} {address} 200" for path in ("healthz", "live") for address in ("127.0.0.1", "[::1]")]
    assert done.stdout.splitlines() == expected, done.stderr
