"""Manifests: files of YAML documents -> pools and secrets, or every mistake in them at once, each with file and line.

Used kinds are WorkerPool and Secret. Other kinds may stand in the same file (it may be meant for a cluster as well);
a notice says that they are not used.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from workerpool_contract import names
from workerpool_contract.spec import WorkerPool
from workerpool_operator.explain import did_you_mean, explain, place
from workerpool_operator.yamltree import Document, YamlError, documents

METADATA_FIELDS = frozenset(
    {
        "annotations", "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "finalizers",
        "generateName", "generation", "labels", "managedFields", "name", "namespace", "ownerReferences",
        "resourceVersion", "selfLink", "uid",
    }
)  # fmt: skip

Secrets = Mapping[str, Mapping[str, str]]


class ManifestError(Exception):
    """Manifests that can't be used; ``problems`` holds one line per mistake, in the order of the files."""

    def __init__(self, problems: Iterable[str]) -> None:
        """Joins the problems into one message."""
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True)
class Manifests:
    """What the files say. ``secrets``: name -> key -> value (never printed). ``notices``: lines for the user."""

    pools: tuple[WorkerPool, ...]
    secrets: Secrets = field(repr=False)
    notices: tuple[str, ...] = ()


@dataclass(slots=True)
class _Draft:
    """What was read so far; mistakes are collected, not raised, so that all of them can be told."""

    pools: dict[str, WorkerPool] = field(default_factory=dict)
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def load(files: Mapping[str, str]) -> Manifests:
    """Reads ``files`` (name -> text). Raises ManifestError with every mistake of all files."""
    draft = _Draft()
    for name, text in files.items():
        try:
            for document in documents(text):
                _document(document, name, draft)
        except YamlError as error:
            draft.problems.append(f"{name}:{error.line}: {error}; correct the YAML")
    if not draft.pools and not draft.problems:
        draft.problems.append(f"{', '.join(files)}: no WorkerPool in it; add a document with kind: {names.KIND}")
    if draft.problems:
        raise ManifestError(draft.problems)
    return Manifests(tuple(draft.pools.values()), draft.secrets, tuple(draft.notices))


def _document(document: Document, file: str, draft: _Draft) -> None:
    value = document.value
    kind = value.get("kind") if isinstance(value, dict) else None
    if kind == names.KIND:
        _pool(document, file, draft)
    elif kind == "Secret":
        _secret(document, file, draft)
    elif not isinstance(kind, str):
        draft.problems.append(f"{file}:{document.line(())}: kind: is missing; add kind: {names.KIND}")
    elif get_close_matches(kind.lower(), [names.KIND.lower(), names.PLURAL], cutoff=0.7):
        line = document.line(("kind",))
        draft.problems.append(f"{file}:{line}: kind: {kind!r} is not known; did you mean {names.KIND}?")
    else:
        draft.notices.append(f"{file}:{document.line(())}: kind {kind} is not used on one machine")


def _pool(document: Document, file: str, draft: _Draft) -> None:
    _metadata(document, file, draft)
    try:
        # A status in a file is what some cluster once wrote, as `kubectl get -o yaml` shows it; it isn't an input.
        value = {key: part for key, part in document.value.items() if key != "status"}
        pool = WorkerPool.model_validate(value, by_alias=True, by_name=False)
    except ValidationError as error:
        details = error.errors(include_url=False)
        draft.problems += [f"{file}:{document.line(place(d))}: {explain(d, WorkerPool)}" for d in details]
        return
    name = pool.metadata.name
    if name in draft.pools:
        line = document.line(("metadata", "name"))
        draft.problems.append(f"{file}:{line}: metadata.name: {name!r} is taken by another WorkerPool; choose another")
    draft.pools[name] = pool


def _metadata(document: Document, file: str, draft: _Draft) -> None:
    """Tells of fields that Kubernetes doesn't know; the model lets them pass, for what newer servers send."""
    metadata = document.value.get("metadata")
    for name in metadata if isinstance(metadata, dict) else ():
        if name not in METADATA_FIELDS:
            line = document.line(("metadata", name))
            hint = did_you_mean(name, sorted(METADATA_FIELDS))
            draft.problems.append(f"{file}:{line}: metadata.{name}: unknown field; {hint}")


def _secret(document: Document, file: str, draft: _Draft) -> None:
    """Keeps the values of a Secret; its mistakes are told without them."""
    metadata = document.value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str):
        draft.problems.append(f"{file}:{document.line(('metadata',))}: metadata.name: is missing; name the Secret")
        return
    if name in draft.secrets:
        line = document.line(("metadata", "name"))
        draft.problems.append(f"{file}:{line}: metadata.name: {name!r} is taken by another Secret; choose another")
    values = draft.secrets.setdefault(name, {})
    for section in ("data", "stringData"):
        for key, value in _entries(document.value.get(section)):
            where = f"{file}:{document.line((section, key))}: {section}.{key}"
            text = _decoded(value) if section == "data" else value
            if not isinstance(text, str):
                cure = "base64 of UTF-8 text" if section == "data" else "text; put it in quotes"
                draft.problems.append(f"{where}: is not {cure}")
                continue
            if text.endswith("\n"):
                draft.notices.append(f"{where}: ends in a line break, which was left out")
            values[key] = text.rstrip("\n")


def _entries(section: Any) -> list[tuple[str, Any]]:  # noqa: ANN401 - checked here
    return list(section.items()) if isinstance(section, dict) else []


def _decoded(value: object) -> str | None:
    try:
        return base64.b64decode(str(value), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
