"""A local cluster by hand: ``python -m tests.cluster [--name NAME] VERB``.

Verbs: up, down, status, build, shell, run -- COMMAND. ``run`` and ``shell`` work inside the cluster's network, with
KUBECONFIG set and kubectl on the PATH; a pytest that is started there uses that cluster instead of one of its own. Exit
codes: 0; 1 with a line that says why; those of COMMAND.
"""

import argparse
import os
import subprocess
import sys
import time

from tests.cluster.api import Unavailable
from tests.cluster.binaries import MODULES, binary_dir, say
from tests.cluster.local import starter
from tests.cluster.local.provider import LocalCluster
from tests.cluster.names import ENV_ATTACH, ENV_OUTSIDE, ENV_PROVIDER


def up(name: str) -> int:
    """Starts the cluster and leaves it running."""
    if starter.find(name):
        say("the cluster runs already")
    else:
        begin = time.monotonic()
        starter.start(name, attended=False)
        say(f"the cluster is ready after {time.monotonic() - begin:.0f} s")
    say("a shell inside, with kubectl: make cluster-shell; its end: make cluster-down")
    return 0


def down(name: str) -> int:
    """Ends it and removes everything."""
    say("the cluster is gone" if starter.stop(name) else "there was no cluster")
    return 0


def status(name: str) -> int:
    """Prints what runs; 1 when nothing does."""
    cluster = starter.find(name)
    if cluster is None:
        say("no cluster runs; cure: make cluster")
        return 1
    for component, pid in cluster.components.running().items():
        sys.stdout.write(f"{component:24} running, process {pid} of the cluster\n")
    for component, code in cluster.components.ended().items():
        sys.stdout.write(f"{component:24} ended with {code}, see {cluster.layout.log(component)}\n")
    sys.stdout.write(f"KUBECONFIG={cluster.kubeconfig}\n")
    return 0


def run(name: str, command: list[str]) -> int:
    """The exit code of a command inside the cluster's network."""
    cluster = starter.find(name)
    if cluster is None:
        raise Unavailable("no cluster runs; cure: make cluster")
    return subprocess.run(cluster.enter(*command), env=_environment(cluster), check=False).returncode


def _environment(cluster: LocalCluster) -> dict[str, str]:
    ours = {ENV_PROVIDER: "local", ENV_ATTACH: cluster.layout.name, ENV_OUTSIDE: str(os.getpid())}
    path = f"{cluster.kubectl_program.parent}:{os.environ['PATH']}"
    return {**os.environ, **cluster.environment, **ours, "PATH": path}


def shell(name: str) -> int:
    """A shell inside the cluster's network."""
    return run(name, [os.environ.get("SHELL", "/bin/sh")])


def build(_: str) -> int:
    """Builds every program that the tests need, where the cache lacks it."""
    for module in sorted(path.parent.name for path in MODULES.glob("*/go.mod")):
        binary_dir(module)
    return 0


VERBS = {verb.__name__: verb for verb in (up, down, status, build, shell)}


def main() -> int:
    """Understands the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description="A local cluster for the tests.")
    default = os.environ.get(ENV_ATTACH, "dev")
    parser.add_argument("--name", default=default, help="Which one, where several live side by side (%(default)s).")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name, verb in VERBS.items():
        verbs.add_parser(name, help=verb.__doc__)
    verbs.add_parser("run", help="A command inside the cluster's network.").add_argument("command", nargs="...")
    arguments = parser.parse_args()
    try:
        if arguments.verb == "run":
            return run(arguments.name, [word for word in arguments.command if word != "--"])
        return VERBS[arguments.verb](arguments.name)
    except Unavailable as problem:
        say(str(problem))
        return 1


if __name__ == "__main__":
    sys.exit(main())
