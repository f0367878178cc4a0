"""The root of the command line: finds its subcommands by entry point, turns our errors into a line and an exit code.

Exit codes: 0 done, 1 the work failed, 2 bad input or usage, 3 the queue's server can't be reached, 4 the database
lacks migrations or is too new, 5 something on the broker has other arguments than it should, 130 interrupted.
"""

import os
import sys
from importlib.metadata import EntryPoint, entry_points, version
from typing import NoReturn

import click
from click.shell_completion import CompletionItem

from workerpool.errors import ConfigError, SchemaError, SourceUnavailable, WorkerPoolError
from workerpool.redaction import redact
from workerpool_contract.names import COMMANDS_GROUP, ENV_LOG_LEVEL
from workerpool_contract.variables import SettingsError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNAVAILABLE = 3
EXIT_SCHEMA = 4
EXIT_INTERRUPTED = 130


class Commands(click.Group):
    """Subcommands from the entry-point group ``workerpool.commands``, each imported only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, sorted."""
        return sorted({*super().list_commands(ctx), *(entry.name for entry in _entries())})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports the command; one whose extra is missing says which."""
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        for entry in _entries():
            if entry.name == cmd_name:
                return _load(entry)
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in the help; a command that can't be loaded says why instead of spoiling the list."""
        rows = []
        for name in self.list_commands(ctx):
            try:
                command = self.get_command(ctx, name)
            except ConfigError as error:
                rows.append((name, f"(not available: {error})"))
            else:
                rows += [] if command is None else [(name, command.get_short_help_str(limit=90))]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names alone: loading every command at each press of Tab would be slow."""
        names = (name for name in self.list_commands(ctx) if name.startswith(incomplete))
        own = (
            [] if incomplete and not incomplete.startswith("-") else click.Command.shell_complete(self, ctx, incomplete)
        )
        return [*(CompletionItem(name) for name in names), *own]


def _entries() -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=COMMANDS_GROUP))


def _load(entry: EntryPoint) -> click.Command:
    try:
        loaded = entry.load()
    except ImportError as error:
        raise ConfigError(
            f"command {entry.name}: {error}; install what it needs: pip install 'workerpool[local]'"
        ) from None
    if not isinstance(loaded, click.Command):
        raise ConfigError(f"command {entry.name}: {entry.value} is no click command; correct the entry point")
    return loaded


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(version("workerpool"), prog_name="workerpool")
def cli() -> None:
    """Background workers that scale themselves: write handlers, describe the pool, run it anywhere."""


def exit_code(error: BaseException) -> int:
    """The documented exit code of an error."""
    if isinstance(error, ConfigError | SettingsError):
        return EXIT_USAGE
    if isinstance(error, SourceUnavailable):
        return EXIT_UNAVAILABLE
    if isinstance(error, SchemaError):
        return EXIT_SCHEMA
    return EXIT_FAILED


def main(argv: list[str] | None = None) -> NoReturn:
    """Runs the command line and ends the process with its exit code."""
    try:
        code = cli.main(args=argv, prog_name="workerpool", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(EXIT_INTERRUPTED)
    except (WorkerPoolError, SettingsError) as error:
        _fail(str(error), exit_code(error))
    except BrokenPipeError:
        # Whoever read our output has seen enough (`workerpool jobs list | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_FAILED)
    except Exception as error:
        if os.environ.get(ENV_LOG_LEVEL, "").lower() == "debug":
            raise
        _fail(f"{type(error).__name__}: {error}; set {ENV_LOG_LEVEL}=debug to see where, and please report it", 1)


def _fail(text: str, code: int) -> NoReturn:
    click.echo(f"Error: {redact(text)}", err=True)
    sys.exit(code)
