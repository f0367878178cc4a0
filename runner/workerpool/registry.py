"""Which workers this process knows, which queue each of them consumes, and how an app module is loaded."""

import importlib
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Final

from workerpool.definition import WorkerDefinition
from workerpool.errors import ConfigError
from workerpool.sources.base import Subscription
from workerpool.tracebacks import innermost


class Registry:
    """The workers declared so far, in the order of their declaration.

    Declaring never fails: duplicates are refused when an app is loaded, so that tests may declare freely.
    """

    def __init__(self) -> None:
        self._definitions: list[WorkerDefinition] = []

    @property
    def definitions(self) -> tuple[WorkerDefinition, ...]:
        """All declared workers."""
        return tuple(self._definitions)

    def add(self, definition: WorkerDefinition) -> None:
        """Adds a worker; one from the same line (a module imported again) takes the old one's place."""
        for index, known in enumerate(self._definitions):
            if (known.name, known.origin[:2]) == (definition.name, definition.origin[:2]):
                self._definitions[index] = definition
                return
        self._definitions.append(definition)

    @contextmanager
    def scoped(self) -> Iterator["Registry"]:
        """Within the block the registry starts empty; afterwards it is as before. For tests."""
        before, self._definitions = self._definitions, []
        try:
            yield self
        finally:
            self._definitions = before


REGISTRY: Final = Registry()
"""Where ``@worker`` and ``Worker`` put their definitions."""


def load_app(module: str, *, folder: str | None = None, registry: Registry = REGISTRY) -> tuple[WorkerDefinition, ...]:
    """Imports the user's module and returns its workers, checked against each other.

    ``folder``, when given, is searched first (the command line passes the current directory). Raises ConfigError when
    the module is missing, fails while it is imported, declares no worker, or declares two that can't live together.
    """
    if folder is not None and folder not in sys.path:
        sys.path.insert(0, folder)
    _import(module)
    definitions = registry.definitions
    if not definitions:
        raise ConfigError(
            f"module {module!r} declares no worker: decorate a function with @worker(topic=…), "
            "or give a Worker subclass an input_topic and a process method"
        )
    check_names(definitions)
    subscriptions(definitions)
    return definitions


def check_names(definitions: Iterable[WorkerDefinition]) -> None:
    """Raises ConfigError when two workers have one name, naming both places."""
    seen: dict[str, WorkerDefinition] = {}
    for definition in definitions:
        other = seen.setdefault(definition.name, definition)
        if other is not definition:
            raise ConfigError(
                f"two workers are called {definition.name!r}: {other.origin} and {definition.origin}; "
                "rename one, or give it a name=…"
            )


def select(definitions: Sequence[WorkerDefinition], names: Sequence[str]) -> tuple[WorkerDefinition, ...]:
    """The workers called ``names``, in that order; all of them when ``names`` is empty. Raises ConfigError."""
    known = {definition.name: definition for definition in definitions}
    for name in names:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f" did you mean {close[0]!r}?" if close else ""
            raise ConfigError(f"unknown worker {name!r};{hint} Known workers: {', '.join(known) or 'none'}")
    return tuple(known[name] for name in dict.fromkeys(names)) if names else tuple(definitions)


def subscriptions(definitions: Sequence[WorkerDefinition]) -> dict[str, Subscription]:
    """The queue of each worker, by worker name. ``definitions``: all workers of the app, not only those that run here.

    A worker without group_id consumes the queue named like its topic; several such workers on one topic form a group
    each, so that all of them get every message. Raises ConfigError when two workers would share one queue.
    """
    ungrouped = Counter(definition.topic for definition in definitions if definition.group_id is None)
    found: dict[str, Subscription] = {}
    owners: dict[str, WorkerDefinition] = {}
    for definition in definitions:
        group = definition.group_id or (definition.name if ungrouped[definition.topic] > 1 else None)
        queue = definition.topic if group is None else f"{definition.topic}@{group}"
        other = owners.setdefault(queue, definition)
        if other is not definition:
            raise ConfigError(
                f"workers {other.name!r} ({other.origin}) and {definition.name!r} ({definition.origin}) are both group "
                f"{group!r} of topic {definition.topic!r}, so a message would go to either of them; "
                "give them different group_ids"
            )
        found[definition.name] = Subscription(definition.topic, queue)
    return found


def _import(module: str) -> None:
    importlib.invalidate_caches()
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(f"{error.name}.")):
            raise ConfigError(
                f"module {module!r} not found: no {error.name!r} in {sys.path[0] or '.'} or the installed packages; "
                "run the command in the folder that holds it, or correct the name"
            ) from error
        raise ConfigError(f"{_failed(module, error)}; install that package or correct the import") from error
    except ConfigError as error:
        raise ConfigError(f"module {module!r}{innermost(error)}: {error}") from error
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{_failed(module, error)}; correct the module: nothing was started") from error


def _failed(module: str, error: BaseException) -> str:
    return f"module {module!r} can't be imported: {type(error).__name__}: {error}{innermost(error)}"
