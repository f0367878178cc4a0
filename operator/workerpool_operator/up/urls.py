"""Which database each pool uses on this machine. Pure.

First that is there: ``--url``; the Secret that urlSecretRef names, when it is in the files; WORKERPOOL_URL (from
``--env-file`` or the environment); else the embedded database.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from workerpool_contract.secretrefs import SecretKeyRef
from workerpool_contract.spec import WorkerPool
from workerpool_operator.manifest import Manifests


class UrlError(Exception):
    """A pool's database can't be told; the message names the pool, the field and the cure."""


@dataclass(frozen=True, slots=True)
class Urls:
    """Pool name -> URL, None for the embedded database; and what the user should know about it."""

    by_pool: dict[str, str | None] = field(repr=False)
    notices: tuple[str, ...]

    @property
    def embedded(self) -> bool:
        """Whether any pool needs the embedded database."""
        return None in self.by_pool.values()


def urls_of(manifests: Manifests, option: str | None, environment: str | None) -> Urls:
    """The URLs of all pools. Raises UrlError for a Secret that lacks its key."""
    notices: list[str] = []
    found: dict[str, str | None] = {}
    for pool in manifests.pools:
        reference = pool.spec.source.postgres.url_secret_ref if pool.spec.source.postgres else None
        if option is None and reference is not None:
            if reference.name in manifests.secrets:
                found[pool.metadata.name] = _from_secret(pool, reference, manifests)
                continue
            used = "WORKERPOOL_URL" if environment else "the embedded database"
            notices.append(f"{pool.metadata.name}: Secret {reference.name} is not in the files; {used} is used")
        found[pool.metadata.name] = option or environment
    return Urls(found, tuple(notices))


def unused_fields(pool: WorkerPool) -> Iterator[str]:
    """Notices about fields that only Kubernetes uses."""
    name, worker = pool.metadata.name, pool.spec.worker
    for field_name, value in (("image", worker.image), ("podTemplate", worker.pod_template)):
        if value:
            yield f"{name}: spec.worker.{field_name} is for Kubernetes and not used on one machine"


def _from_secret(pool: WorkerPool, reference: SecretKeyRef, manifests: Manifests) -> str:
    values = manifests.secrets[reference.name]
    if reference.key not in values:
        known = ", ".join(sorted(values)) or "none"
        message = (
            f"{pool.metadata.name}: spec.source.postgres.urlSecretRef.key: Secret {reference.name} has no key "
            f"{reference.key!r} (it has: {known}); correct the key or add it"
        )
        raise UrlError(message)
    return values[reference.key]
