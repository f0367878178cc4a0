"""Fan-out: one message becomes several, each handled by a worker of its own."""

from typing import Any

from examples.orders import shop
from workerpool import get_producer, worker


@worker(topic="user.created")
async def fan_out_user_created(user: dict[str, Any]) -> None:
    """Publishes to several topics. The keys keep a second run of this job from sending anything twice."""
    producer = get_producer()
    await producer.send("notifications.welcome", {"email": user["email"]}, unique_key=f"welcome-{user['id']}")
    await producer.send("analytics.user.created", {"user_id": user["id"]}, unique_key=f"created-{user['id']}")
    await producer.send("crm.contacts.create", {"email": user["email"]}, unique_key=f"contact-{user['id']}")


@worker(topic="notifications.welcome")
def send_welcome(message: dict[str, Any]) -> None:
    """Sends a mail."""
    shop.deliver("welcome", message["email"])


@worker(topic="analytics.user.created")
def count_user(event: dict[str, Any]) -> None:
    """Counts a new user."""
    shop.deliver("analytics", str(event["user_id"]))


@worker(topic="crm.contacts.create")
def create_contact(contact: dict[str, Any]) -> None:
    """Adds a contact."""
    shop.deliver("crm", contact["email"])
