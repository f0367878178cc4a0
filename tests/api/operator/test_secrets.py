"""Where the URL of a queue comes from, and what happens when it is not there, changes, or leads nowhere."""

import signal
from collections.abc import Iterator

import pytest

from tests.api.operator.conftest import Shop
from tests.support.postgres import Server, throw_away

pytestmark = pytest.mark.kubernetes

ANNOTATION = "workerpool.dev/secret-version"
SEEN = "workerpool.dev/secret-seen"


@pytest.fixture
def fragile() -> Iterator[Server]:
    """A server that may be stopped."""
    with throw_away() as server:
        yield server


def version(shop: Shop) -> str | None:
    """What the pod template says of the Secret."""
    found = shop.get("deployment") or {}
    template = found.get("spec", {}).get("template", {}).get("metadata", {})
    value: str | None = template.get("annotations", {}).get(ANNOTATION)
    return value


def test_a_secret_may_come_later(shop: Shop) -> None:
    shop.enqueue(2)
    shop.pool()
    shop.until(lambda: shop.condition("ScalingActive")[1] == "BacklogUnknown", "an unknown backlog")
    assert "Secret queue-db does not exist" in shop.condition("ScalingActive")[2]
    assert shop.size() in {None, 0}
    shop.secret()
    shop.until(lambda: shop.size() == 2, "two replicas")


def test_a_new_url_is_used_and_rolls_the_runners(shop: Shop, postgres_server: Server) -> None:
    shop.secret()
    # No poll is due in this test: what is used is used because the Secret changed.
    shop.pool(scaling={"backlogPerReplica": 1, "maxReplicas": 20, "pollIntervalSeconds": 3600})
    shop.until(lambda: version(shop) is not None, "a Deployment that knows its Secret")
    before = version(shop)
    shop.kubectl("label", "secret", "queue-db", "touched=yes")
    other = postgres_server.create_database()
    moved = Shop(shop.server, shop.namespace, shop.operator, postgres_server.url(other))
    moved.enqueue(3)
    assert version(shop) == before
    moved.secret()
    shop.until(lambda: shop.size() == 3, "the backlog of the other database")
    shop.until(lambda: version(shop) != before, "another version of the Secret")
    shop.until(lambda: "SecretRotated" in shop.reasons(), "an event")
    assert postgres_server.url(other) not in shop.operator.log()


def test_only_another_value_rolls_the_runners(shop: Shop) -> None:
    def seen() -> tuple[str | None, str | None]:
        """What the Deployment says of the Secret, and the Secret of itself."""
        metadata, secret = (shop.get("deployment") or {})["metadata"], shop.get("secret", "queue-db") or {}
        return metadata.get("annotations", {}).get(SEEN), secret["metadata"]["resourceVersion"]

    shop.secret()
    shop.pool()
    shop.until(lambda: version(shop) is not None, "a Deployment that knows its Secret")
    before = version(shop)
    shop.kubectl("label", "secret", "queue-db", "touched=yes")
    shop.until(lambda: len(set(seen())) == 1, "the Secret's new version")
    assert version(shop) == before
    shop.operator.end(signal.SIGKILL)
    shop.operator.start()
    # The new process has read the Secret before it goes.
    shop.rest(2)
    shop.kubectl("delete", "secret", "queue-db")
    shop.until(lambda: shop.condition("ScalingActive")[1] == "BacklogUnknown", "an unknown backlog")
    assert version(shop) == before
    shop.secret()
    shop.until(lambda: shop.condition("ScalingActive")[0] == "True", "a known backlog again")
    shop.until(lambda: len(set(seen())) == 1, "the version of the new Secret")
    assert version(shop) == before


def test_an_unreachable_database_holds_the_pool(shop: Shop, fragile: Server) -> None:
    moved = Shop(shop.server, shop.namespace, shop.operator, fragile.url(fragile.create_database()))
    moved.secret()
    moved.pool()
    moved.until(lambda: moved.condition("ScalingActive")[0] == "True", "a known backlog")
    moved.enqueue(3)
    moved.until(lambda: moved.size() == 3, "three replicas")
    fragile.stop()
    moved.until(lambda: moved.condition("ScalingActive")[1] == "BacklogUnknown", "an unknown backlog")
    assert moved.size() == 3
    fragile.start()
    moved.until(lambda: moved.condition("ScalingActive")[0] == "True", "a known backlog again")
    assert moved.size() == 3
    moved.until(lambda: {"BacklogUnknown", "BacklogKnown"} <= set(moved.reasons()), "events of both")
