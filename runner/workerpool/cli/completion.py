"""``workerpool completion``: the script that completes commands and options in a shell."""

import click
from click.shell_completion import get_completion_class

from workerpool.cli.output import print_json
from workerpool.cli.target import json_option


@click.command(name="completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@json_option
@click.pass_context
def completion(context: click.Context, *, shell: str, as_json: bool) -> None:
    """Print the completion script of a shell.

    \b
    bash  add to ~/.bashrc:  eval "$(workerpool completion bash)"
    zsh   add to ~/.zshrc:   eval "$(workerpool completion zsh)"
    fish  workerpool completion fish > ~/.config/fish/completions/workerpool.fish

    Exit codes: 0 printed, 2 unknown shell.
    """  # noqa: D301 - click's mark for lines that must stay apart
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(context.find_root().command, {}, "workerpool", "_WORKERPOOL_COMPLETE").source()
    if as_json:
        print_json({"shell": shell, "script": script})
    else:
        click.echo(script)
