"""``workerpool topics``: which queues get a copy of what is sent to a topic, and ending that."""

import click

from workerpool.cli.output import note, print_json, print_table
from workerpool.cli.target import administrate, json_option, url_option
from workerpool.sources.administration import TopicQueue
from workerpool.sources.checks import duration


@click.group(name="topics")
def topics() -> None:
    """List which queues get copies of a topic, unsubscribe one."""


@topics.command(name="list")
@url_option
@json_option
def list_(*, url: str | None, as_json: bool) -> None:
    """List topics with their queues, the jobs in each, and whether a runner consumes it.

    Exit codes: 0 listed (also when there is none), 2 bad input, 3 server unreachable, 4 not migrated.
    """
    found = administrate(url, lambda admin: admin.topics())
    if as_json:
        print_json(found)
    elif found:
        lines = [(it.topic, it.queue, it.jobs, _waits(it), "yes" if it.served else "no") for it in found]
        print_table(("TOPIC", "QUEUE", "JOBS", "OLDEST WAITS", "RUNNER"), lines)
    else:
        click.echo("No worker has subscribed to a topic.")


def _waits(it: TopicQueue) -> str:
    return "?" if it.age is None else duration(it.age)


@topics.command()
@click.argument("topic")
@click.argument("queue")
@url_option
@json_option
def unsubscribe(*, topic: str, queue: str, url: str | None, as_json: bool) -> None:
    """Send no more copies of TOPIC to QUEUE.

    The jobs that are in QUEUE stay: they run when a runner consumes it, or `workerpool jobs cancel` takes them away. A
    runner with such a worker subscribes it again when it starts.

    Exit codes: 0 done, 1 a runner consumes the queue, 2 bad input or no such subscription, 3 server unreachable, 4 not
    migrated.
    """
    ended = administrate(url, lambda admin: admin.unsubscribe(topic, queue))
    if as_json:
        print_json(ended)
        return
    click.echo(f"{queue} gets no more copies of {topic}")
    if ended.jobs:
        note(f"Its {ended.jobs} jobs stay; see `workerpool jobs list --queue {queue}`, `workerpool jobs cancel ID`")
