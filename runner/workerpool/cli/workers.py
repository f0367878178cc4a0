"""``workerpool workers``: what an app declares."""

from pathlib import Path

import click

from workerpool.cli.output import print_json
from workerpool.cli.target import json_option, settings
from workerpool.definition import WorkerDefinition
from workerpool.errors import ConfigError
from workerpool.registry import load_app, subscriptions
from workerpool_contract.names import ENV_APP

app_option = click.option(
    "--app", metavar="MODULE", help=f"Python module that declares the workers. Default: {ENV_APP}."
)


@click.command(name="workers")
@app_option
@json_option
def workers(*, app: str | None, as_json: bool) -> None:
    """List the workers of an app: name, input, output, concurrency, retries.

    Exit codes: 0 listed, 2 the module is missing, broken or declares no worker.
    """
    definitions = load(app or settings().app)
    queues = subscriptions(definitions)
    if as_json:
        print_json([_as_json(it, queues[it.name].queue) for it in definitions])
        return
    click.echo("\n\n".join(_as_text(it, queues[it.name].queue) for it in definitions))


def load(app: str | None) -> tuple[WorkerDefinition, ...]:
    """The app's workers. Raises ConfigError when no app is named or it can't be loaded."""
    if app is None:
        raise ConfigError(f"app: no module is named; pass --app MODULE or set {ENV_APP}")
    return load_app(app, folder=str(Path.cwd()))


def _as_text(worker: WorkerDefinition, queue: str) -> str:
    lines = [f"  {worker.name}", f"    Input:  {worker.topic}"]
    if queue != worker.topic:
        lines.append(f"    Queue:  {queue}")
    lines += [
        f"    Output: {worker.output_topic or '-'}",
        f"    Concurrency: {worker.concurrency}",
        f"    Retries: {worker.retry.max_retries}",
    ]
    return "\n".join(lines)


def _as_json(worker: WorkerDefinition, queue: str) -> dict[str, object]:
    return {
        "name": worker.name,
        "input": worker.topic,
        "queue": queue,
        "output": worker.output_topic,
        "deadLetters": worker.dlq_topic,
        "concurrency": worker.concurrency,
        "retries": worker.retry.max_retries,
        "backoff": worker.retry.backoff,
        "timeoutSeconds": worker.timeout,
        "runs": worker.runs,
    }
