"""A dead-letter handler: what is done about payments that failed after all retries."""

from typing import Any

from pydantic import BaseModel

from examples.orders import shop
from workerpool import worker


class DeadPayment(BaseModel):
    """The message that a worker's dlq_topic gets; ``original`` is the payload that failed."""

    original: dict[str, Any]
    error: str
    worker: str
    retries: int


@worker(topic="payments.dlq")
def handle_failed_payments(message: DeadPayment) -> None:
    """Undoes what may have been done, and says so."""
    order_id = message.original["order_id"]
    shop.refund_if_charged(order_id)
    shop.release(order_id)
    shop.set_status(order_id, f"payment failed after {message.retries} retries: {message.error}")
