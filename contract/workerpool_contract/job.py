"""Shapes of messages that programs other than the runner read."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class DeadLetterBody(BaseModel):
    """What a worker's dead-letter topic receives for a job that will not be tried again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    original: Any = Field(description="The job's payload as it was enqueued (text when it was not JSON).")
    error: str = Field(description="The last error in words.")
    worker: str = Field(description="Name of the worker that gave up.")
    retries: int = Field(ge=0, description="Retries made after the first attempt.")
