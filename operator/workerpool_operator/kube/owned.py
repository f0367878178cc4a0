"""Whether an object with the name of a pool's child is that pool's child. Pure."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from workerpool_contract import names
from workerpool_operator.desired.labels import controller_uid, ours
from workerpool_operator.desired.ownership import owned
from workerpool_operator.kube.objects import PoolRecord
from workerpool_operator.platform import Trouble


class Sightings(NamedTuple):
    """The resourceVersions of a Secret between which one of its values is known to have stayed the same."""

    since: str
    seen: str


def obstacle(live: Mapping[str, Any] | None, kind: str, record: PoolRecord) -> Trouble | None:
    """Why an object that exists must not be touched, None when it may be: there is none, it is ours, or nobody's.

    One that carries the pool's labels and has no controller is taken in: somebody restored it from a backup, say.
    """
    if live is None:
        return None
    owner = controller_uid(live)
    if owner == record.uid or (owner is None and ours(live, record.key.name)):
        return None
    if _of_earlier(live, record.key.name):
        words = f"{kind} {record.key} still belongs to a deleted pool of the same name; it is being removed"
        return Trouble("EarlierPoolDeleting", words)
    words = (
        f"{kind} {record.key} exists and belongs to somebody else; delete or rename it, or name the pool differently"
    )
    return Trouble("NameTaken", words)


def sized_by_operator(deployment: Mapping[str, Any] | None) -> bool:
    """Whether the size of a Deployment is the operator's own word: nobody set another one after it."""
    return deployment is not None and "f:replicas" in owned(deployment, names.MANAGER).get("f:spec", {})


def secret_versions(
    deployment: Mapping[str, Any] | None, found: Mapping[str, Sightings | None] | None
) -> tuple[str | None, str | None]:
    """For the runners, the versions of their Secrets; for the Deployment, up to which versions those are known to hold.

    ``deployment``: as it was left. ``found``: what is known now of each Secret, None of one while it can't be read, and
    None altogether while nobody looked. A single Secret is written as its number, several as ``name=number,…``.
    """
    body = deployment or {}
    version = _annotation(body.get("spec", {}).get("template", {}), names.ANNOTATION_SECRET_VERSION)
    seen = _annotation(body, names.ANNOTATION_SECRET_SEEN)
    # While a Secret can't be read the runners keep the version that they have: not knowing rolls nobody.
    if found is None:
        return version, seen
    versions, last = _numbers(version, found), _numbers(seen, found)
    for name, sightings in found.items():
        if sightings is not None:
            held = name in versions and int(sightings.since) <= int(last.get(name, -1)) <= int(sightings.seen)
            versions[name] = versions[name] if held else sightings.since
            last[name] = sightings.seen
    return _text(versions, len(found)), _text(last, len(found))


def _numbers(text: str | None, secrets: Collection[str]) -> dict[str, str]:
    """What an annotation says of each of ``secrets``; what is no number is nothing."""
    parts = (text or "").split(",")
    if "=" not in parts[0]:
        parts = [f"{name}={parts[0]}" for name in secrets] if len(secrets) == 1 else []
    pairs = (part.partition("=") for part in parts)
    return {name: number for name, _, number in pairs if name in secrets and number.isdecimal()}


def _text(numbers: Mapping[str, str], secrets: int) -> str | None:
    if secrets == 1:
        return next(iter(numbers.values()), None)
    return ",".join(f"{name}={numbers[name]}" for name in sorted(numbers)) or None


def _annotation(body: Mapping[str, Any], name: str) -> str | None:
    value: str | None = (body.get("metadata", {}).get("annotations") or {}).get(name)
    return value


def _of_earlier(live: Mapping[str, Any], pool: str) -> bool:
    owners = live.get("metadata", {}).get("ownerReferences") or ()
    return any(
        owner.get("controller") and owner.get("kind") == names.KIND and owner.get("name") == pool for owner in owners
    )
