"""Run by `helm test`: the operator answers that it is ready, and its account may list pools. Ends with 1 if not."""

import json
import os
import ssl
import sys
import time
import urllib.request
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
DEADLINE = time.monotonic() + 60  # seconds; a pod that was just made may not be behind its Service yet


def operator_url() -> str:
    """Where the operator's Service is, by the variables that Kubernetes gives to pods of the same namespace."""
    prefix = os.environ["OPERATOR_SERVICE"]
    return f"http://{bracketed(os.environ[prefix + '_SERVICE_HOST'])}:{os.environ[prefix + '_SERVICE_PORT']}/readyz"


def pools_url() -> str:
    """The list of pools, in the first watched namespace or in all of them."""
    host, port = bracketed(os.environ["KUBERNETES_SERVICE_HOST"]), os.environ["KUBERNETES_SERVICE_PORT"]
    namespace = os.environ["NAMESPACE"]
    place = f"namespaces/{namespace}/workerpools" if namespace else "workerpools"
    return f"https://{host}:{port}/apis/workerpool.dev/v1/{place}?limit=1"


def bracketed(host: str) -> str:
    """``host`` as a URL wants it: IPv6 addresses stand in brackets."""
    return f"[{host}]" if ":" in host else host


def get(url: str, headers: dict[str, str], trust: ssl.SSLContext | None) -> bytes:
    """The body of the answer; tries again until the deadline, then raises the last error (an OSError)."""
    request = urllib.request.Request(url, headers=headers)
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5, context=trust) as answer:
                return bytes(answer.read())
        except OSError as error:
            print(f"{url}: {error}", file=sys.stderr, flush=True)
            if time.monotonic() > DEADLINE:
                raise
            time.sleep(1)


def main() -> None:
    """Asks both; an error ends the program with 1."""
    get(operator_url(), {}, None)
    print("the operator is ready")
    token = (ACCOUNT / "token").read_text()
    trust = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    answer = json.loads(get(pools_url(), {"Authorization": f"Bearer {token}"}, trust))
    if answer.get("kind") != "WorkerPoolList":
        sys.exit(f"asked for pools, got {answer.get('kind')}; is the WorkerPool definition installed?")
    print("the API knows WorkerPools, and the operator may list them")


main()
