"""Jobs in the ladder of waits go to lanes that somebody may have deleted; they hold up those of all other queues."""

import pytest

from tests.integration.rabbitmq.sources import consumer
from tests.support.linked import linked
from tests.support.rabbitmq import Vhost
from tests.support.waiting import eventually
from workerpool.sources.rabbitmq import topology
from workerpool.sources.rabbitmq.declare import ensure_missing, exists
from workerpool_contract.rabbitmq import lanes

pytestmark = pytest.mark.rabbitmq

RIGHTS = {"configure": "^$", "write": ".*", "read": ".*"}


async def test_a_runner_declares_what_other_queues_lack(vhost: Vhost) -> None:
    async with consumer(vhost, "parcels"):
        pass
    for name in ("parcels", "parcels.low"):
        vhost.api("DELETE", f"queues/{{}}/{name}")
    async with consumer(vhost, "orders"), linked(vhost.url) as watched:

        async def there() -> bool:
            return all([await exists(watched.link, topology.Queue(name, {})) for name in lanes("parcels")])

        await eventually(there, "the lanes of a queue that this runner doesn't consume")


async def test_what_can_not_be_declared_is_told_and_stops_nobody(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        assert await ensure_missing(watched.link, ["parcels"], 20) == ["queue parcels lacked lanes and has them now"]
        assert await ensure_missing(watched.link, ["parcels"], 20) == []
        vhost.api("DELETE", "queues/{}/parcels.low")
        vhost.api("PUT", f"permissions/{{}}/{vhost.user}", RIGHTS)
        (warning,) = await ensure_missing(watched.link, ["parcels"], 20)
        assert "parcels.low" in warning
        assert "topology apply" in warning
