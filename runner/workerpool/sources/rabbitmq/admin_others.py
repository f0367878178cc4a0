"""Queues of a virtual host that neither a runner nor a publisher ever used: commands look at none of them unasked."""

from collections.abc import Collection
from typing import Final
from urllib.parse import quote

from workerpool.sources.rabbitmq.management import Management
from workerpool_contract.rabbitmq import dead, lanes

NAMED: Final = 3
"""Queues that are named at most."""
FOREIGN: Final = quote(r"^(?!amq\.|workerpool\.)", safe="")
"""Unique keys are queues too, and may be many."""
PAGE: Final = 500
"""The most that the API gives at once."""


async def others(api: Management, known: Collection[str]) -> str | None:
    """Some of them in words, None when there are none. Raises SourceUnavailable, ConfigError."""
    page = await api.get(f"queues/{{}}?columns=name&name={FOREIGN}&use_regex=true&page=1&page_size={PAGE}")
    ours = {name for queue in known for name in (*lanes(queue), dead(queue))}
    found = sorted({it["name"] for it in page["items"]} - ours)
    if not found:
        return None
    return "queues that are not WorkerPool's: " + ", ".join(found[:NAMED]) + (" and others" if found[NAMED:] else "")
