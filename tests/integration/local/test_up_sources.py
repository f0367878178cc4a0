"""`workerpool up` on every source: the same pools, the same jobs, the same ends."""

import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.local_up import EMPTY, WITHIN, manifest, up
from tests.support.rabbitmq import Vhost
from tests.support.waiting import eventually
from workerpool.producer import get_producer

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(params=["postgres", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def source(request: pytest.FixtureRequest) -> str:
    """The kind of source that the pools have."""
    kind: str = request.param
    return kind


@pytest.fixture
def url(request: pytest.FixtureRequest, source: str) -> str:
    """Where an empty server of that kind is."""
    if source == "postgres":
        return str(request.getfixturevalue("database"))
    vhost: Vhost = request.getfixturevalue("vhost")
    return vhost.url


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Counter[str]]:
    """How often handlers finished, by name and payload, as they say themselves."""
    file = tmp_path / "told"
    file.touch()
    monkeypatch.setenv("LOCAL_APP_TELLS", str(file))
    return lambda: Counter(file.read_text().splitlines())


async def test_two_pools_grow_from_zero_and_go_back(
    tmp_path: Path, source: str, url: str, told: Callable[[], Counter[str]]
) -> None:
    async with get_producer(url) as producer:
        await producer.enqueue_many("quick", range(100))
        await producer.enqueue_many("slow", [0.5, 0.5])
    async with up(tmp_path, "-f", manifest(tmp_path, "quick", "slow", source=source), "--url", url, "--json") as it:
        await it.says("grown", pool="quick", desired=3)
        for name in ("quick", "slow"):
            await it.says("back at zero", pool=name, desired=0, replicas=[], reason=EMPTY)
        it.process.send_signal(signal.SIGTERM)
        assert await it.ends() == 0
    assert max(len(event["replicas"]) for event in it.pools("quick")) == 3
    assert max(len(event["replicas"]) for event in it.pools("slow")) == 1
    assert told() == {f"double {number}": 1 for number in range(100)} | {"wait 0.5": 2}
    assert "100 ready and 0 in flight, at 10 per replica: 10; then 3: maxReplicas 3" in {
        event["reason"] for event in it.pools("quick")
    }


async def test_interrupt_finishes_running_jobs_and_leaves_nothing(
    tmp_path: Path, source: str, url: str, told: Callable[[], Counter[str]]
) -> None:
    async with get_producer(url) as producer:
        await producer.enqueue_many("held", [str(tmp_path / "a"), str(tmp_path / "b")])
    path = manifest(tmp_path, "held", most=1, source=source)
    async with up(tmp_path, "-f", path, "--url", url, "--json") as it:

        async def running() -> bool:
            return bool(told())

        await eventually(running, "the job runs", within=WITHIN)
        runners = it.runners()
        assert runners
        it.process.send_signal(signal.SIGINT)
        await it.says("draining", event="note")
        for name in ("a", "b"):
            (tmp_path / name).touch()
        assert await it.ends() == 0
        assert not any(runner.is_running() for runner in runners)
    finished = told()
    assert set(finished.values()) == {1}
    assert {"hold a", "held a"} <= {*finished}
    # What nobody began is still there for the next one, uncharged.
    async with up(tmp_path, "-f", path, "--url", url, "--until-empty", "--json") as it:
        assert await it.ends() == 0
    assert told() == {"hold a": 1, "held a": 1, "hold b": 1, "held b": 1}
