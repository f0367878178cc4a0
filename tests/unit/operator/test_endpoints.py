"""From a source and the values of its Secrets to an endpoint, or to words that say what is wrong and the cure."""

from typing import Any

import pytest

from workerpool_contract.backlog import Unknown
from workerpool_contract.secretrefs import Role
from workerpool_contract.source import Source
from workerpool_operator.backlog.endpoints import Lack, endpoint_of, lacking
from workerpool_operator.backlog.watch import Endpoint

PEM = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----"


def rabbitmq(**fields: Any) -> Source:
    """A source on a broker."""
    return Source.model_validate({"rabbitmq": {"queue": "q", **fields}})


def test_a_database_is_its_url() -> None:
    source = Source.model_validate({"postgres": {"queue": "q", "mode": "Pooled"}})
    assert endpoint_of(source, {Role.URL: "postgresql://db/q"}) == Endpoint("postgresql://db/q", pooled=True)
    assert endpoint_of(source, {}) == Unknown(
        "no Secret is named; set spec.source.postgres.urlSecretRef to where the connection URL is"
    )


def test_a_broker_by_its_url() -> None:
    found = endpoint_of(rabbitmq(urlSecretRef={"name": "s"}), {Role.URL: "amqp://u:p@mq/v"})
    assert found == Endpoint("amqp://u:p@mq/v")


def test_a_broker_by_its_parts() -> None:
    """Whatever stands in the parts arrives encoded."""
    source = rabbitmq(host="mq", vhost="a/b", credentialsSecretRef={"name": "s"})
    found = endpoint_of(source, {Role.USERNAME: "u@x", Role.PASSWORD: "p/:%"})
    assert found == Endpoint("amqp://u%40x:p%2F%3A%25@mq:5672/a%2Fb")
    assert endpoint_of(rabbitmq(host="::1", port=7), {}) == Endpoint("amqp://guest:guest@[::1]:7/%2F")


def test_a_broker_with_everything() -> None:
    management = {"urlSecretRef": {"name": "m"}, "prometheusUrl": "http://mq:1"}
    source = rabbitmq(host="mq", tls={"caSecretRef": {"name": "c"}}, management=management)
    found = endpoint_of(source, {Role.CA: PEM, Role.MANAGEMENT_URL: "https://a:b@mq:2"})
    assert found == Endpoint(
        "amqps://guest:guest@mq:5671/%2F", authority=PEM, management="https://a:b@mq:2", prometheus="http://mq:1"
    )
    plain = endpoint_of(rabbitmq(host="mq", management={"url": "http://mq:3/prefix"}), {})
    assert isinstance(plain, Endpoint)
    assert plain.management == "http://mq:3/prefix"


@pytest.mark.parametrize(
    ("fields", "values", "words"),
    [
        ({}, {}, "no broker is named; set spec.source.rabbitmq.urlSecretRef to where the connection URL is, or spec.s"),
        ({}, {Role.URL: "postgresql://u:hunter2@db/q"}, "urlSecretRef: the connection URL is no amqp:// or amqps://"),
        ({}, {Role.URL: "hunter2"}, "the connection URL is no amqp:// or amqps:// URL; write amqp://user:password@h"),
        ({}, {Role.URL: "amqp://u:hunter2@mq/a/b"}, "write a / in the name of a vhost as %2F"),
        ({}, {Role.URL: "amqp://u:hunter2@/v"}, "the connection URL names no host"),
        ({}, {Role.URL: "amqp://u:hunter2@mq:x/v"}, "the connection URL is no URL whose host and port can be read"),
        ({"tls": {}}, {Role.URL: "amqp://u:hunter2@mq/v"}, "tls is set, but the connection URL begins with amqp://"),
        ({"host": "mq", "tls": {}}, {Role.CA: "hunter2"}, "tls.caSecretRef: the value is no certificate in PEM form"),
        ({"host": "mq"}, {Role.MANAGEMENT_URL: "hunter2@mq"}, "management.urlSecretRef: the value is no http:// or"),
        ({"host": "mq"}, {Role.MANAGEMENT_URL: "http://u:hunter2@mq:x"}, "the value is no http:// or https:// URL"),
    ],
)
def test_what_cannot_be_used_is_told_without_its_value(
    fields: dict[str, Any], values: dict[Role, str], words: str
) -> None:
    found = endpoint_of(rabbitmq(**fields), values)
    assert isinstance(found, Unknown)
    assert words in found.reason
    assert "hunter2" not in found.reason


def test_each_lack_has_its_cure() -> None:
    source = rabbitmq(
        host="mq",
        credentialsSecretRef={"name": "mq"},
        tls={"caSecretRef": {"name": "ca"}},
        management={"urlSecretRef": {"name": "m"}},
    )
    user, password, authority, management = source.member.secret_uses
    assert lacking({user: Lack.MISSING, password: Lack.MISSING}).reason == (
        "Secret mq does not exist; create it with the user name under the key username and the password under the key "
        "password, or correct spec.source.rabbitmq.credentialsSecretRef.name"
    )
    assert lacking({password: Lack.NO_VALUE, authority: Lack.FORBIDDEN, management: Lack.NO_VALUE}).reason == (
        "Secret mq has no value under the key password; add it, or correct "
        "spec.source.rabbitmq.credentialsSecretRef.passwordKey; "
        "reading Secret ca is forbidden; allow the operator to get it; "
        "Secret m has no value under the key url; add it, or correct spec.source.rabbitmq.management.urlSecretRef.key"
    )
