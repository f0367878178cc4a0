"""One handler: it reads greetings and publishes letters."""

from typing import Any

from workerpool import worker


@worker(topic="greetings", output_topic="letters", max_retries=3)
async def greet(job: dict[str, Any]) -> dict[str, str]:
    """A letter for whoever ``job["name"]`` is."""
    return {"text": f"Hello, {job['name']}"}
