"""Extract, transform, load: two workers in a row, joined by a topic."""

from typing import Any

from pydantic import BaseModel

from examples.orders import shop
from workerpool import worker


class Raw(BaseModel):
    """A value as a device sent it. Anything else becomes a dead letter, with the field at fault in its error."""

    id: int
    value: float


@worker(topic="raw.data", output_topic="transformed.data", input_schema=Raw, dlq_topic="raw.data.dlq")
async def transform_data(raw: dict[str, Any]) -> dict[str, Any]:
    """Doubles the value. The next worker gets what is returned."""
    return {"id": raw["id"], "value": raw["value"] * 2}


@worker(topic="transformed.data")
def load_data(data: Raw) -> None:
    """Stores the value. A sync function: it runs in a thread, so SQLite may block it."""
    shop.store_reading(data.id, data.value)
