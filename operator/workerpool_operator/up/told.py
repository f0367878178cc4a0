"""Servers that the command line or the environment name, whatever the manifests say. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, NamedTuple

from workerpool_contract import names
from workerpool_contract.environment import RunnerSettings
from workerpool_contract.secretrefs import Role

BROKERS: Final = frozenset({"amqp", "amqps"})
DATABASES: Final = frozenset({"postgres", "postgresql"})
Kind = Literal["postgres", "rabbitmq"]
OLDER_BROKER: Final = "RABBITMQ_URL"
"""The older name that only a broker's URL has. DATABASE_URL is not asked: it mostly is an application's own."""


class Address(NamedTuple):
    """A URL, and where it was said."""

    origin: str
    url: str

    @property
    def kind(self) -> Kind:
        """What it leads to."""
        return "rabbitmq" if self.url.partition("://")[0] in BROKERS else "postgres"

    @property
    def strange(self) -> str:
        """Its scheme, when nothing with queues has such; else empty. What has no scheme is Postgres's own business."""
        scheme, found, _ = self.url.partition("://")
        return scheme if found and scheme.isalnum() and scheme not in BROKERS | DATABASES else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What was said outside of the manifests.

    ``option``: of ``--url``. ``environ``: the environment, ``base``: the settings in it. ``authority``: what is in the
    file that WORKERPOOL_RABBITMQ_CA_FILE names, as PEM text.
    """

    option: str | None = field(default=None, repr=False)
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    base: RunnerSettings = field(default_factory=RunnerSettings, repr=False)
    authority: str | None = None

    @property
    def forced(self) -> Address | None:
        """What comes before all manifests."""
        return None if self.option is None else Address("--url", self.option)

    def fallback(self, kind: Kind) -> Address | None:
        """What comes after them, for pools of this kind."""
        said = {
            names.ENV_URL: self.environ.get(names.ENV_URL),
            names.ENV_RABBITMQ_HOST: replace(self.base, url=None).effective_url,
            OLDER_BROKER: self.environ.get(OLDER_BROKER),
        }
        addresses = [Address(origin, url.strip()) for origin, url in said.items() if url and url.strip()]
        return next((address for address in addresses if address.kind == kind), None)

    def values(self) -> dict[Role, str]:
        """What a broker's Secrets may lack."""
        found = {
            Role.USERNAME: self.base.rabbitmq_username,
            Role.PASSWORD: self.base.rabbitmq_password,
            Role.CA: self.authority,
            Role.MANAGEMENT_URL: self.base.rabbitmq_management_url,
        }
        return {role: text for role, text in found.items() if text is not None}
