"""The rights that docs/rabbitmq.md names are enough: a user who may declare next to nothing sends and works off."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.local_up import finished, manifest
from tests.support.rabbitmq import Vhost
from workerpool.producer import get_producer

pytestmark = pytest.mark.rabbitmq

PAGE = (Path(__file__).parents[3] / "docs" / "rabbitmq.md").read_text()


def documented() -> str:
    """What a user may configure, as the page says."""
    found = re.search(r"\| the same, after `workerpool topology apply` \| configure `(.+?)`;", PAGE)
    assert found
    return found[1].replace("\\|", "|")


async def test_after_topology_apply_a_user_may_declare_next_to_nothing(
    tmp_path: Path, vhost: Vhost, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "told"
    monkeypatch.setenv("LOCAL_APP_TELLS", str(told))
    apply = [sys.executable, "-m", "workerpool", "topology", "apply", "quick", "--url", vhost.url]
    subprocess.run(apply, check=True, capture_output=True)  # noqa: ASYNC221 - nothing else runs in this loop
    rights = {"configure": documented(), "write": ".*", "read": ".*"}
    vhost.api("PUT", f"permissions/{{}}/{vhost.user}", rights)
    async with get_producer(vhost.url) as producer:
        await producer.enqueue_many("quick", range(20))
        first = await producer.send("quick", 20, unique_key="once", priority=5)
        again = await producer.send("quick", 20, unique_key="once")
    assert (first.duplicate, again.duplicate) == (False, True)
    path = manifest(tmp_path, "quick", source="rabbitmq")
    code, output = await finished(tmp_path, "-f", path, "--url", vhost.url, "--until-empty", "--no-tui")
    assert code == 0, output
    assert sorted(told.read_text().splitlines()) == sorted(f"double {number}" for number in range(21))
