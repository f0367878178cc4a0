"""`spec.source.rabbitmq`: a queue on a broker, reached by one URL or by its parts."""

from typing import Annotated

from pydantic import Field, Strict, StringConstraints, model_validator

from workerpool_contract.amqp import DEFAULT_VHOST
from workerpool_contract.model import Model, Port, misfit
from workerpool_contract.rabbitmq import (
    DELIVERY_LIMIT,
    MAX_QUEUE_NAME,
    QUEUE_CHARACTERS,
    QUEUE_PATTERN,
    RESERVED_PREFIXES,
    queue_problem,
)
from workerpool_contract.secretrefs import (
    CaSecretRef,
    CredentialsSecretRef,
    SecretKeyRef,
    SecretUse,
    ca_use,
    credentials_uses,
    management_use,
    url_use,
)

HOST_OR_URL = "urlSecretRef and host exclude each other; remove one"
PART_NEEDS_HOST = "{} belongs to host; set host, or write it into the URL"
QUEUE_NAME = (
    f"queue begins with a reserved prefix ({' or '.join(RESERVED_PREFIXES)}) or has # for a word, which stands for any "
    "words in a topic; choose another name"
)
MANAGEMENT_URL_TWICE = "url and urlSecretRef exclude each other; remove one"

BrokerQueueName = Annotated[str, StringConstraints(min_length=1, max_length=MAX_QUEUE_NAME, pattern=QUEUE_PATTERN)]
HostName = Annotated[str, StringConstraints(max_length=253, pattern=r"^[-A-Za-z0-9_.:]+$")]
VhostName = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]
HttpUrl = Annotated[str, StringConstraints(max_length=2048, pattern=r"^https?://[^\s/?#@]+(/[^\s?#@]*)?$")]


class RabbitmqTls(Model):
    """TLS to the broker. An empty group means: with the authorities that the image trusts."""

    ca_secret_ref: CaSecretRef | None = Field(
        default=None, description="Certificate of a private authority that signed the broker's certificate."
    )


class RabbitmqManagement(Model):
    """Where the backlog is read: the broker's management API, or its Prometheus page when that is not there."""

    url: HttpUrl | None = Field(
        default=None,
        description="Address of the management API without credentials, which are those of the source. Unset: port "
        "15672 of the source's host, or with TLS 15671.",
    )
    url_secret_ref: SecretKeyRef | None = Field(
        default=None,
        description="Where the address with other credentials is (http://user:password@host:15672). Only the operator "
        "reads it.",
    )
    prometheus_url: HttpUrl | None = Field(
        default=None,
        description="Address of the plugin rabbitmq_prometheus, used when the management API can't be reached. Unset: "
        "port 15692 of the source's host.",
    )

    @model_validator(mode="after")
    def _one_url(self) -> "RabbitmqManagement":
        if self.url is not None and self.url_secret_ref is not None:
            raise misfit(MANAGEMENT_URL_TWICE, "url")
        return self


class RabbitmqSource(Model):
    """A quorum queue on a RabbitMQ broker, 3.10 to 4.x."""

    url_secret_ref: SecretKeyRef | None = Field(
        default=None,
        description="Where the connection URL is (amqp://user:password@host:5672/vhost, or amqps:// with TLS). A / in "
        "the name of the vhost is %2F there. On one machine it may be unset: WORKERPOOL_URL is used then.",
    )
    host: HostName | None = Field(default=None, description="Host of the broker, instead of urlSecretRef.")
    port: Port | None = Field(default=None, description="Port of the broker. Unset: 5672, or with TLS 5671.")
    vhost: VhostName | None = Field(default=None, description="Name of the vhost, as it is. Unset: /.")
    credentials_secret_ref: CredentialsSecretRef | None = Field(
        default=None,
        description="Where user name and password are, as they are (nothing is encoded). Unset: guest, whom a broker "
        "lets in from its own machine only.",
    )
    tls: RabbitmqTls | None = Field(
        default=None,
        description="TLS with host and its parts, and the private authority for both ways. {} is enough for host with "
        "a certificate of a public authority; a URL says it by amqps://.",
    )
    queue: BrokerQueueName = Field(
        description=f"Name of the queue whose backlog sets the size of this pool. It may hold {QUEUE_CHARACTERS}."
    )
    delivery_limit: Annotated[int, Strict(), Field(ge=1, le=1_000_000)] = Field(
        default=DELIVERY_LIMIT,
        description="Deliveries after which the broker moves a job that keeps ending its runner to the dead letters "
        "(x-delivery-limit of the queues that are declared).",
    )
    management: RabbitmqManagement | None = Field(
        default=None, description="Where the backlog is read. Unset: beside the broker, with the same credentials."
    )

    @model_validator(mode="after")
    def _one_way_to_the_broker(self) -> "RabbitmqSource":
        if self.url_secret_ref is not None and self.host is not None:
            raise misfit(HOST_OR_URL, "host")
        if self.host is None:
            for name, field in PARTS.items():
                if getattr(self, name) is not None:
                    raise misfit(PART_NEEDS_HOST.format(field), field)
        return self

    @model_validator(mode="after")
    def _queue_is_free(self) -> "RabbitmqSource":
        if queue_problem(self.queue):
            raise misfit(QUEUE_NAME, "queue")
        return self

    @property
    def effective_vhost(self) -> str:
        """The vhost in force with host."""
        return self.vhost or DEFAULT_VHOST

    @property
    def secret_uses(self) -> tuple[SecretUse, ...]:
        """Every value that is taken from a Secret."""
        field, uses = "spec.source.rabbitmq", list[SecretUse]()
        if self.url_secret_ref is not None:
            uses.append(url_use(self.url_secret_ref, f"{field}.urlSecretRef"))
        if self.credentials_secret_ref is not None:
            uses += credentials_uses(self.credentials_secret_ref, f"{field}.credentialsSecretRef")
        if self.tls is not None and self.tls.ca_secret_ref is not None:
            uses.append(ca_use(self.tls.ca_secret_ref, f"{field}.tls.caSecretRef"))
        if self.management is not None and self.management.url_secret_ref is not None:
            uses.append(management_use(self.management.url_secret_ref, f"{field}.management.urlSecretRef"))
        return tuple(uses)


PARTS = {"port": "port", "vhost": "vhost", "credentials_secret_ref": "credentialsSecretRef"}
"""Fields that say something only beside host -> their names in a manifest."""
