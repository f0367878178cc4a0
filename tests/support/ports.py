"""Ports for servers that a test starts, and perhaps stops and starts again."""

import random
import socket

LISTENING = range(15_000, 30_000)
"""Below the ports that the system gives to outgoing connections, and below Kubernetes' node ports: while a server is
away no connection of anybody can be given its port, which would keep it from coming back."""


def free_port(host: str = "127.0.0.1") -> int:
    """A port at ``host`` that nobody listens on at the moment. Raises OSError when there is none."""
    # Not from the seed that a property test sets, or every process of the run would try the same ports.
    for port in random.SystemRandom().sample(LISTENING, k=100):
        with socket.socket() as probe:
            # As servers do: what is left of ended connections keeps nobody from listening.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    message = f"no port of {host} from {LISTENING.start} to {LISTENING.stop - 1} is free"
    raise OSError(message)
