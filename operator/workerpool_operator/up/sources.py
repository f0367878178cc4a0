"""Which server each pool uses on this machine, and what its runners get from Secrets besides. Pure.

First that is there, of the kind that the pool's source asks for: ``--url``; what the manifest names, when the Secrets
for it are in the files; the environment (or ``--env-file``); the embedded database. No broker is embedded.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from workerpool_contract.amqp import amqp_parts
from workerpool_contract.backlog import Unknown
from workerpool_contract.rabbitmqsource import RabbitmqSource
from workerpool_contract.secretrefs import Role, SecretUse
from workerpool_contract.source import Source
from workerpool_contract.spec import WorkerPool
from workerpool_operator.backlog.endpoints import endpoint_of
from workerpool_operator.backlog.watch import Endpoint
from workerpool_operator.manifest import Manifests
from workerpool_operator.up.told import Address, Told

CONNECTION = frozenset({Role.URL, Role.USERNAME, Role.PASSWORD})
INSTEAD = {
    Role.CA: "WORKERPOOL_RABBITMQ_CA_FILE is used, or what this machine trusts",
    Role.MANAGEMENT_URL: "WORKERPOOL_RABBITMQ_MANAGEMENT_URL is used, or the usual port",
    Role.S3: "what the environment says of the S3 server is used",
}


class SourceError(Exception):
    """A pool's server can't be told; the message names the pool, the field and the cure."""


@dataclass(frozen=True, slots=True)
class PoolSource:
    """Where one pool's queue is, None for the embedded database; and ``variables`` for its runners, from Secrets."""

    endpoint: Endpoint | None
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Sources:
    """Pool name -> its source, and what the user should know about them."""

    by_pool: dict[str, PoolSource]
    notices: tuple[str, ...]

    @property
    def embedded(self) -> bool:
        """Whether any pool needs the embedded database."""
        return any(source.endpoint is None for source in self.by_pool.values())


def sources_of(manifests: Manifests, told: Told) -> Sources:
    """The sources of all pools.

    Raises SourceError for a Secret that lacks its key, a value that can't be used, and a broker that nobody names.
    """
    if told.forced is not None and (scheme := told.forced.strange):
        raise SourceError(f"--url: {scheme}:// is no server of queues; write amqp://… or postgresql://…")
    kinds = {pool.spec.source.kind for pool in manifests.pools}
    if told.forced is not None and told.forced.kind not in kinds:
        server = "RabbitMQ" if told.forced.kind == "rabbitmq" else "Postgres"
        raise SourceError(f"--url: leads to {server}, but no pool has a source there; correct the URL")
    notices: list[str] = []
    found = {pool.metadata.name: _source(pool, manifests, told, notices) for pool in manifests.pools}
    return Sources(found, tuple(notices))


def unused_fields(pool: WorkerPool) -> Iterator[str]:
    """Notices about fields that only Kubernetes uses."""
    name, worker = pool.metadata.name, pool.spec.worker
    for field_name, value in (("image", worker.image), ("podTemplate", worker.pod_template)):
        if value:
            yield f"{name}: spec.worker.{field_name} is for Kubernetes and not used on one machine"


def _source(pool: WorkerPool, manifests: Manifests, told: Told, notices: list[str]) -> PoolSource:
    name, uses = pool.metadata.name, pool.spec.secret_uses
    forced = told.forced is not None and told.forced.kind == pool.spec.source.kind
    try:
        values = {use: _value(use, manifests) for use in uses if use.name in manifests.secrets}
        missing = [use for use in uses if use not in values]
        by_role = {use.role: text for use, text in values.items() if use.for_reading}
        instead, endpoint = _endpoint(pool.spec.source, by_role, missing, told)
    except SourceError as error:
        raise SourceError(f"{name}: {error}") from None
    told_of = {use.name: use for use in reversed(missing) if use.role is Role.S3 or not forced}
    for secret, use in told_of.items():
        notices.append(f"{name}: Secret {secret} is not in the files; {INSTEAD.get(use.role, f'{instead} is used')}")
    variables = {use.variable: text for use, text in values.items() if use.role is Role.S3 and use.variable}
    return PoolSource(_named(endpoint, values), variables)


def _named(endpoint: Endpoint | None, values: Mapping[SecretUse, str]) -> Endpoint | None:
    """With the name of the Secret that holds its URL, when it came from one."""
    if endpoint is None or endpoint.origin:
        return endpoint
    holder = next((use.name for use in values if use.role is Role.URL and values[use] == endpoint.url), "")
    return replace(endpoint, origin=f"the Secret {holder}" if holder else "")


def _endpoint(
    source: Source, values: Mapping[Role, str], missing: list[SecretUse], told: Told
) -> tuple[str, Endpoint | None]:
    """Where the queue is, None: in the embedded database; before that, what stands in for a Secret that is missing."""
    if told.forced is not None and told.forced.kind == source.kind:
        return told.forced.origin, _at(source, told.forced, values, told)
    host = source.rabbitmq is not None and source.rabbitmq.host is not None
    if Role.URL in values or (host and not any(use.role in CONNECTION for use in missing)):
        return "", _by_manifest(source, values, told)
    fallback = told.fallback(source.kind)
    if fallback is not None:
        return fallback.origin, _at(source, fallback, values, told)
    if host:
        return "WORKERPOOL_RABBITMQ_USERNAME or guest", _by_manifest(source, values, told)
    if source.kind == "postgres":
        return "the embedded database", None
    secret = f", or put the Secret {missing[0].name} into a file that -f names" if missing else ""
    raise SourceError(
        f"{source.field}: nobody says where the broker is, and none is embedded; give --url amqp://user:password@host, "
        f"or set WORKERPOOL_URL (--env-file works too){secret}"
    )


def _at(source: Source, address: Address, values: Mapping[Role, str], told: Told) -> Endpoint:
    """The endpoint at an address from outside: what the manifest says of another server is not for this one."""
    if source.rabbitmq is None:
        return replace(_checked(source, {Role.URL: address.url}), origin=address.origin)
    try:
        amqp_parts(address.url)
    except ValueError as error:
        raise SourceError(f"{address.origin}: {error}") from None
    there = Source(rabbitmq=RabbitmqSource(queue=source.queue))
    authority = {role: text for role, text in values.items() if role is Role.CA}
    return replace(_checked(there, told.values() | authority | {Role.URL: address.url}), origin=address.origin)


def _by_manifest(source: Source, values: Mapping[Role, str], told: Told) -> Endpoint:
    if source.rabbitmq is None:
        return _checked(source, values)
    said = source.rabbitmq.management is not None and source.rabbitmq.management.url is not None
    others = {role: text for role, text in told.values().items() if not (said and role is Role.MANAGEMENT_URL)}
    return _checked(source, others | dict(values))


def _checked(source: Source, values: Mapping[Role, str]) -> Endpoint:
    found = endpoint_of(source, values)
    if isinstance(found, Unknown):
        raise SourceError(found.reason)
    return found


def _value(use: SecretUse, manifests: Manifests) -> str:
    values = manifests.secrets[use.name]
    if use.key not in values:
        known = ", ".join(sorted(values)) or "none"
        raise SourceError(
            f"{use.key_field}: Secret {use.name} has no key {use.key!r} (it has: {known}); correct the key or add it"
        )
    return values[use.key]
