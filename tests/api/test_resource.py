"""What people see of a WorkerPool with kubectl: explain, the columns, the scale and status subresources."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api import table
from tests.cluster.api import KubectlFailed
from tests.support.apiserver import ApiServer
from tests.support.patience import until
from workerpool_operator.crd import crd

pytestmark = pytest.mark.kubernetes

SCHEMA = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
STATUS = """\
{"status": {"replicas": 2, "readyReplicas": 2, "desiredReplicas": 4, "selector": "workerpool.dev/pool=x",
 "reason": "40 jobs / 10 per replica = 4", "backlog": {"ready": 40, "oldestAgeSeconds": 12},
 "conditions": [{"type": "Ready", "status": "True", "reason": "AsDesired"}]}}"""


@pytest.fixture(scope="module", autouse=True)
def published(api_server: ApiServer) -> None:
    """The API server tells of a new resource a moment after it serves it."""

    def known() -> bool:
        try:
            return "spec" in api_server.kubectl("explain", "wp")
        except KubectlFailed:
            return False

    until(known, 90.0, lambda: "kubectl explain knows WorkerPools")


@pytest.fixture
def pool(api_server: ApiServer, namespace: str) -> str:
    """A namespace with the pool x in it."""
    api_server.apply(table.manifest("x", ""), namespace)
    return namespace


def groups(node: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object with known fields and its path for `kubectl explain`."""
    yield path, node
    for name, child in node["properties"].items():
        below = child.get("items", child)
        if "properties" in below:
            yield from groups(below, f"{path}.{name}")


def words(text: str) -> str:
    """The text with every gap a single space: kubectl breaks lines as it likes."""
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("path", "node"),
    [pair for section in ("spec", "status") for pair in groups(SCHEMA["properties"][section], section)],
)
def test_explain_reads_like_documentation(api_server: ApiServer, path: str, node: dict[str, Any]) -> None:
    """Every field comes with its description, bounds and default."""
    shown = words(api_server.kubectl("explain", f"wp.{path}"))
    for name, child in node["properties"].items():
        assert f"{name} <" in shown
        assert words(child["description"]) in shown


def test_the_columns_tell_the_state(api_server: ApiServer, pool: str) -> None:
    api_server.kubectl("patch", "wp", "x", "--subresource=status", "--type=merge", f"--patch={STATUS}", "-n", pool)
    head, row = api_server.kubectl("get", "wp", "-n", pool).splitlines()
    assert head.split() == ["NAME", "READY", "REPLICAS", "DESIRED", "BACKLOG", "AGE"]
    assert row.split()[:5] == ["x", "True", "2", "4", "40"]
    head, row = api_server.kubectl("get", "wp", "-o", "wide", "-n", pool).splitlines()
    assert head.split()[6:] == ["OLDEST", "REASON"]
    assert row.endswith("40 jobs / 10 per replica = 4")
    assert "workerpool.workerpool.dev/x" in api_server.kubectl("get", "all", "-n", pool)


def test_the_spec_cannot_write_the_status(api_server: ApiServer, pool: str) -> None:
    """Neither a manifest nor a patch of the object; a change of the status moves no generation."""
    api_server.kubectl("patch", "wp", "x", "--type=merge", f"--patch={STATUS}", "-n", pool)
    before = api_server.json("get", "wp", "x", "-n", pool)
    assert "status" not in before
    api_server.kubectl("patch", "wp", "x", "--subresource=status", "--type=merge", f"--patch={STATUS}", "-n", pool)
    after = api_server.json("get", "wp", "x", "-n", pool)
    assert after["status"]["replicas"] == 2
    assert after["metadata"]["generation"] == before["metadata"]["generation"] == 1


def test_scale_pins_and_a_patch_unpins(api_server: ApiServer, pool: str) -> None:
    api_server.kubectl("patch", "wp", "x", "--subresource=status", "--type=merge", f"--patch={STATUS}", "-n", pool)
    api_server.kubectl("scale", "wp/x", "--replicas=3", "-n", pool)
    assert api_server.json("get", "wp", "x", "-n", pool)["spec"]["replicas"] == 3
    scale = api_server.json("get", "wp", "x", "--subresource=scale", "-n", pool)
    assert scale["spec"] == {"replicas": 3}
    assert scale["status"] == {"replicas": 2, "selector": "workerpool.dev/pool=x"}
    api_server.kubectl("patch", "wp", "x", "--type=merge", '--patch={"spec":{"replicas":null}}', "-n", pool)
    assert "replicas" not in api_server.json("get", "wp", "x", "-n", pool)["spec"]


def test_an_unpinned_pool_has_no_scale_to_read(api_server: ApiServer, pool: str) -> None:
    """So no other autoscaler takes hold of a pool that scales itself; setting works all the same (see above)."""
    with pytest.raises(KubectlFailed, match=r'spec replicas field "\.spec\.replicas" does not exist'):
        api_server.kubectl("get", "wp", "x", "--subresource=scale", "-n", pool)


def test_scale_obeys_the_bounds(api_server: ApiServer, pool: str) -> None:
    with pytest.raises(KubectlFailed, match=r"spec\.replicas.*less than or equal to 1000"):
        api_server.kubectl("scale", "wp/x", "--replicas=1001", "-n", pool)
