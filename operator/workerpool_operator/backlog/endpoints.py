"""From a source and what its Secrets hold to the endpoint that readers open, or why there is none. Pure."""

from collections.abc import Iterable, Mapping
from enum import Enum, auto
from urllib.parse import urlsplit

from workerpool_contract.amqp import AmqpParts, amqp_parts
from workerpool_contract.backlog import Unknown
from workerpool_contract.rabbitmqsource import RabbitmqSource
from workerpool_contract.secretrefs import Role, SecretUse
from workerpool_contract.source import PostgresMode, PostgresSource, Source
from workerpool_operator.backlog.watch import Endpoint


class Lack(Enum):
    """Why a value of a Secret is not known."""

    MISSING = auto()
    FORBIDDEN = auto()
    NO_VALUE = auto()


def lacking(found: Mapping[SecretUse, Lack]) -> Unknown:
    """The backlog of a pool for which values of Secrets are not known: each Secret, and the cure."""
    words = dict.fromkeys(_lack(use, lack, found) for use, lack in found.items())
    return Unknown("; ".join(words))


def unnamed(source: Source) -> Unknown:
    """The backlog of a pool whose source names no place at all."""
    field = source.field
    if source.kind == "postgres":
        return Unknown(f"no Secret is named; set {field}.urlSecretRef to where the connection URL is")
    return Unknown(f"no broker is named; set {field}.urlSecretRef to where the connection URL is, or {field}.host")


def endpoint_of(source: Source, values: Mapping[Role, str]) -> Endpoint | Unknown:
    """The endpoint of ``source``, with the values of its Secrets; Unknown with field and cure for what can't be used.

    A URL in ``values`` counts also where the source names no Secret for it.
    """
    member = source.member
    if isinstance(member, PostgresSource):
        if Role.URL not in values:
            return unnamed(source)
        return Endpoint(values[Role.URL], pooled=member.mode is PostgresMode.POOLED)
    if Role.URL not in values and member.host is None:
        return unnamed(source)
    problem = _broker_problem(member, values)
    return Unknown(problem) if problem else _broker(member, values)


def broker_url(source: RabbitmqSource, values: Mapping[Role, str]) -> str:
    """The URL of a broker: as it is, or made of its parts. The source must name a host when ``values`` has no URL."""
    if Role.URL in values:
        return values[Role.URL]
    assert source.host is not None
    return AmqpParts(
        host=source.host,
        port=source.port,
        vhost=source.effective_vhost,
        username=values.get(Role.USERNAME),
        password=values.get(Role.PASSWORD),
        tls=source.tls is not None,
    ).url


def _broker(source: RabbitmqSource, values: Mapping[Role, str]) -> Endpoint:
    management = source.management
    return Endpoint(
        broker_url(source, values),
        authority=values.get(Role.CA),
        management=values.get(Role.MANAGEMENT_URL) or (management.url if management else None),
        prometheus=management.prometheus_url if management else None,
    )


def _broker_problem(source: RabbitmqSource, values: Mapping[Role, str]) -> str:
    """What is wrong with the values of a broker's Secrets, empty when they can be used."""
    field = "spec.source.rabbitmq"
    if Role.URL in values:
        try:
            tls = amqp_parts(values[Role.URL]).tls
        except ValueError as error:
            return f"{field}.urlSecretRef: the connection URL {error}"
        if source.tls is not None and not tls:
            return f"{field}.tls is set, but the connection URL begins with amqp://; write amqps://, or remove tls"
    if Role.CA in values and "-----BEGIN CERTIFICATE-----" not in values[Role.CA]:
        return f"{field}.tls.caSecretRef: the value is no certificate in PEM form; put one there"
    if Role.MANAGEMENT_URL in values and not _is_http(values[Role.MANAGEMENT_URL]):
        example = "http://user:password@host:15672"
        return f"{field}.management.urlSecretRef: the value is no http:// or https:// URL; write {example}"
    return ""


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def _lack(use: SecretUse, lack: Lack, found: Mapping[SecretUse, Lack]) -> str:
    if lack is Lack.FORBIDDEN:
        return f"reading Secret {use.name} is forbidden; allow the operator to get it"
    if lack is Lack.NO_VALUE:
        return f"Secret {use.name} has no value under the key {use.key}; add it, or correct {use.key_field}"
    wanted = _wanted(other for other, why in found.items() if why is lack and other.name == use.name)
    return f"Secret {use.name} does not exist; create it with {wanted}, or correct {use.field}.name"


def _wanted(uses: Iterable[SecretUse]) -> str:
    return " and ".join(f"{use.role.value} under the key {use.key}" for use in uses)
