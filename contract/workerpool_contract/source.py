"""`spec.source`: where the jobs are, and which member says so. Whoever needs to know the member asks `Source`."""

from enum import StrEnum
from typing import Literal

from pydantic import Field, model_validator

from workerpool_contract.model import Model, QueueName
from workerpool_contract.rabbitmqsource import RabbitmqSource
from workerpool_contract.secretrefs import SecretKeyRef, SecretUse, url_use

EXACTLY_ONE_SOURCE = "exactly one source is needed; set postgres or rabbitmq"


class PostgresMode(StrEnum):
    """How the server is reached."""

    DIRECT = "Direct"
    POOLED = "Pooled"


class PostgresSource(Model):
    """A queue in a Postgres database (14 or newer) that carries the workerpool schema."""

    url_secret_ref: SecretKeyRef | None = Field(
        default=None,
        description="Where the connection URL is (postgresql://user:password@host:5432/database). "
        "On one machine it may be unset: WORKERPOOL_URL or the embedded database is used then.",
    )
    queue: QueueName = Field(description="Name of the queue whose backlog sets the size of this pool.")
    mode: PostgresMode = Field(
        default=PostgresMode.DIRECT,
        description="Pooled: the URL leads to a pooler in transaction mode (PgBouncer), so no session state.",
    )

    @property
    def secret_uses(self) -> tuple[SecretUse, ...]:
        """Every value that is taken from a Secret."""
        if self.url_secret_ref is None:
            return ()
        return (url_use(self.url_secret_ref, "spec.source.postgres.urlSecretRef"),)


class Source(Model):
    """Where the jobs are: exactly one member."""

    postgres: PostgresSource | None = Field(
        default=None, description="A queue in Postgres, by its name and the Secret that holds the URL."
    )
    rabbitmq: RabbitmqSource | None = Field(
        default=None, description="A queue on a RabbitMQ broker, by its name and where the broker is."
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> "Source":
        if (self.postgres is None) == (self.rabbitmq is None):
            raise ValueError(EXACTLY_ONE_SOURCE)
        return self

    @property
    def member(self) -> PostgresSource | RabbitmqSource:
        """The one member that is set."""
        found = self.postgres or self.rabbitmq
        assert found is not None
        return found

    @property
    def kind(self) -> Literal["postgres", "rabbitmq"]:
        """Name of the member that is set."""
        return "rabbitmq" if self.postgres is None else "postgres"

    @property
    def queue(self) -> str:
        """Name of the queue."""
        return self.member.queue

    @property
    def field(self) -> str:
        """The member that is set, as a path."""
        return f"spec.source.{self.kind}"
