"""The command `workerpool operator`: reads its environment, builds the operator and runs it until told to stop."""

import asyncio
import logging
import os
import secrets
import socket
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click
import uvloop

from workerpool_operator import logs
from workerpool_operator.controller import Clocks
from workerpool_operator.informer import catch_signals
from workerpool_operator.kube.account import ServiceAccount, service_account
from workerpool_operator.kube.api import KubeApi
from workerpool_operator.kube.client import from_kubeconfig, in_pod
from workerpool_operator.kube.lease import Candidate
from workerpool_operator.service import Place, Service
from workerpool_operator.settings import PREFIX, VARIABLES, OperatorSettings, SettingsError, from_environment

logger = logging.getLogger(__name__)


class UsageProblem(click.ClickException):
    """Something that the user set can't be used; exit code 2."""

    exit_code = 2


@click.command(name="operator", epilog=f"Environment: {', '.join(variable.name for variable in VARIABLES)}.")
def operator() -> None:
    """Runs pools on a Kubernetes cluster: the process that the Helm chart starts.

    In a pod it uses the ServiceAccount, elsewhere the current context of the kubeconfig. It takes its settings from
    the environment and runs until SIGTERM or SIGINT. Exit code 0: stopped as asked; 1: ended by a failure, a restart
    is the cure; 2: a setting can't be used.
    """
    try:
        settings = from_environment(os.environ)
        logs.configure(settings.log_level, settings.log_format)
        _run(_serve(settings))
    except (SettingsError, _NoCluster) as error:
        raise UsageProblem(str(error)) from None
    except Exception as error:
        logger.exception("Ended by a failure")
        raise SystemExit(1) from error


class _NoCluster(Exception):
    """Nothing says where the API server is."""


def _run(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


async def _serve(settings: OperatorSettings) -> None:
    stop = asyncio.Event()
    catch_signals(stop.set)
    account = service_account(os.environ)
    api = in_pod(account) if account is not None else await _from_kubeconfig()
    identity = settings.identity or socket.gethostname()
    candidate = _candidate(settings, account, identity) if settings.leader_election else None
    try:
        place = Place(api, account, identity, candidate)
        await Service(settings, place, Clocks(time.monotonic, time.time)).run(stop)
    finally:
        await api.close()


async def _from_kubeconfig() -> KubeApi:
    """A client by KUBECONFIG, else ~/.kube/config. Raises _NoCluster."""
    path = _kubeconfig()
    try:
        return await from_kubeconfig(path)
    except ValueError as error:
        message = f"KUBECONFIG: {path} can't be used: {error}; correct it"
        raise _NoCluster(message) from None


def _kubeconfig() -> Path:
    path = Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
    if not path.is_file():
        message = f"KUBECONFIG: there is no file {path}, and this is no pod; name a kubeconfig, or run in a cluster"
        raise _NoCluster(message)
    return path


def _candidate(settings: OperatorSettings, account: ServiceAccount | None, identity: str) -> Candidate:
    namespace = settings.lease_namespace or (account.namespace() if account is not None else None)
    if namespace is None:
        message = f"{PREFIX}LEASE_NAMESPACE: is not set, and this is no pod; name the namespace of the Lease"
        raise SettingsError(message)
    # Two lives of one pod are two candidates: the second must not believe that it still leads.
    return Candidate(namespace, settings.lease_name, f"{identity}_{secrets.token_hex(4)}")
