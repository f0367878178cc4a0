"""A saga: an order goes through three steps, each its own worker; when payment fails, the first step is undone.

orders.created -> inventory.reserved -> payments.completed -> orders.confirmed
                                     -> payments.failed (compensation)
"""

import asyncio
from typing import Any

from pydantic import BaseModel, Field

from examples.orders import shop
from workerpool import publish, worker


class Order(BaseModel):
    """What a customer sends."""

    order_id: str
    sku: str
    units: int = Field(gt=0)
    total: float = Field(gt=0)
    card: str


@worker(topic="orders.created", output_topic="inventory.reserved", input_schema=Order, dlq_topic="orders.dlq")
def reserve_inventory(order: Order) -> Order | None:
    """Step 1. Returning None ends the saga here: nothing is published, and there is nothing to undo."""
    if shop.reserve(order.order_id, order.sku, order.units):
        return order
    shop.set_status(order.order_id, "out of stock")
    return None


@worker(
    topic="inventory.reserved",
    output_topic="payments.completed",
    dlq_topic="payments.dlq",
    max_retries=3,
    retry_backoff="exponential",
)
async def process_payment(order: Order) -> dict[str, Any] | None:
    """Step 2. A declined card is an answer: the saga turns back. A bank that is away is an error: it is retried."""
    try:
        await asyncio.to_thread(shop.charge, order.order_id, order.total, order.card)
    except shop.PaymentDeclinedError:
        await publish("payments.failed", {"order_id": order.order_id, "reason": "card declined"})
        return None
    return {"order_id": order.order_id, "amount": order.total}


@worker(topic="payments.completed", output_topic="orders.confirmed")
def confirm_order(payment: dict[str, Any]) -> dict[str, Any]:
    """Step 3."""
    shop.set_status(payment["order_id"], "confirmed")
    return {"order_id": payment["order_id"], "status": "confirmed"}


@worker(topic="orders.confirmed")
def mail_confirmation(order: dict[str, Any]) -> None:
    """Tells the customer."""
    shop.deliver("mail", order["order_id"])


@worker(topic="payments.failed")
def compensate_inventory(failure: dict[str, Any]) -> None:
    """The compensation of step 1."""
    shop.release(failure["order_id"])
    shop.set_status(failure["order_id"], f"cancelled: {failure['reason']}")
