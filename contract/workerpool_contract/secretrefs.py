"""References to values in Secrets of the pool's namespace, and what a spec uses them for."""

from dataclasses import dataclass
from enum import StrEnum

from pydantic import Field

from workerpool_contract import names
from workerpool_contract.model import Model, ObjectName, SecretKey


class SecretKeyRef(Model):
    """One value in a Secret of the same namespace."""

    name: ObjectName = Field(description="Name of the Secret.")
    key: SecretKey = Field(default="url", description="Key inside the Secret.")


class CaSecretRef(Model):
    """The certificate of a private authority in a Secret of the same namespace."""

    name: ObjectName = Field(description="Name of the Secret.")
    key: SecretKey = Field(default="ca.crt", description="Key of the certificate (PEM) inside the Secret.")


class CredentialsSecretRef(Model):
    """A user name and a password in a Secret of the same namespace."""

    name: ObjectName = Field(description="Name of the Secret.")
    username_key: SecretKey = Field(default="username", description="Key of the user name inside the Secret.")
    password_key: SecretKey = Field(default="password", description="Key of the password inside the Secret.")


class Role(StrEnum):
    """What a value of a Secret is, in words."""

    URL = "the connection URL"
    USERNAME = "the user name"
    PASSWORD = "the password"  # noqa: S105 - words
    CA = "the certificate of the authority (PEM)"
    MANAGEMENT_URL = "the URL of the management API"
    S3 = "what the S3 server asks for"


@dataclass(frozen=True, slots=True)
class SecretUse:
    """One value that a spec takes from a Secret.

    ``field``: the reference in the spec, as a path. ``key_field``: where its key is said, as a path. ``variable``: the
    environment variable of runners that gets it, None when they get it in another way. ``in_pods``: whether they get
    it at all, so that a new value replaces them.
    """

    role: Role
    name: str
    key: str
    field: str
    key_field: str
    variable: str | None = None
    in_pods: bool = True

    @property
    def for_reading(self) -> bool:
        """Whether the backlog can't be read without it."""
        return self.role is not Role.S3


def url_use(reference: SecretKeyRef, field: str) -> SecretUse:
    """The use of a reference to a connection URL at ``field``."""
    return SecretUse(Role.URL, reference.name, reference.key, field, f"{field}.key", names.ENV_URL)


def ca_use(reference: CaSecretRef, field: str) -> SecretUse:
    """The use of a reference to a certificate at ``field``; runners get it as a file."""
    return SecretUse(Role.CA, reference.name, reference.key, field, f"{field}.key")


def management_use(reference: SecretKeyRef, field: str) -> SecretUse:
    """The use of a reference to the URL of a management API at ``field``, which runners don't need."""
    return SecretUse(Role.MANAGEMENT_URL, reference.name, reference.key, field, f"{field}.key", in_pods=False)


def credentials_uses(reference: CredentialsSecretRef, field: str) -> tuple[SecretUse, ...]:
    """The two uses of a reference to the credentials of a broker at ``field``."""
    keys = (
        (Role.USERNAME, reference.username_key, "usernameKey", names.ENV_RABBITMQ_USERNAME),
        (Role.PASSWORD, reference.password_key, "passwordKey", names.ENV_RABBITMQ_PASSWORD),
    )
    return tuple(
        SecretUse(role, reference.name, key, field, f"{field}.{part}", variable) for role, key, part, variable in keys
    )
