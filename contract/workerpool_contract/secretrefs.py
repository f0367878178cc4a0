"""References to values in Secrets of the pool's namespace, and what a spec uses them for."""

from dataclasses import dataclass
from enum import StrEnum

from pydantic import Field

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

    URL = "connection URL"
    USERNAME = "user name"
    PASSWORD = "password"  # noqa: S105 - a word
    CA = "certificate of the authority (PEM)"
    MANAGEMENT_URL = "URL of the management API"


@dataclass(frozen=True, slots=True)
class SecretUse:
    """One value that a spec takes from a Secret.

    ``field``: the reference in the spec, as a path. ``key_field``: where its key is said, as a path. ``in_pods``:
    whether the runners get it, so that a new value replaces them.
    """

    role: Role
    name: str
    key: str
    field: str
    key_field: str
    in_pods: bool = True


def secret_use(role: Role, reference: SecretKeyRef | CaSecretRef, field: str, *, in_pods: bool = True) -> SecretUse:
    """The use of a reference to one value at ``field``."""
    return SecretUse(role, reference.name, reference.key, field, f"{field}.key", in_pods)


def credentials_uses(reference: CredentialsSecretRef, field: str) -> tuple[SecretUse, ...]:
    """The two uses of a reference to a user name and a password at ``field``."""
    return (
        SecretUse(Role.USERNAME, reference.name, reference.username_key, field, f"{field}.usernameKey"),
        SecretUse(Role.PASSWORD, reference.name, reference.password_key, field, f"{field}.passwordKey"),
    )
