"""A process that speaks a runner's /health and obeys its signals, but runs no jobs: `fake_runner.py FOLDER MODE`.

Modes: ok; stubborn (ignores SIGTERM); crash (ends with code 3 after a last word). The number of busy jobs is what the
file busy-NAME in FOLDER says, NAME being the replica's. Its process id is written to pid-NAME.
"""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

FOLDER, MODE = Path(sys.argv[1]), sys.argv[2]
NAME = os.environ["WORKERPOOL_WORKER_ID"]


class Health(BaseHTTPRequestHandler):
    """Answers every GET with a health page."""

    def do_GET(self) -> None:
        told = FOLDER / f"busy-{NAME}"
        busy = int(told.read_text()) if told.exists() else 0
        worker = {"isRunning": True, "concurrency": 4, "busy": busy, "completed": 5, "failed": 0, "serviceSeconds": 0.1}
        body = json.dumps({"status": "healthy", "worker": worker, "checks": {"loop": {"ok": True}}}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Says nothing."""


def leave(*_: object) -> None:
    """The end of a drain."""
    sys.stdout.write(f"{NAME} drained\n")
    sys.exit(0)


(FOLDER / f"pid-{NAME}").write_text(str(os.getpid()))
if MODE == "crash":
    sys.stdout.write("the last word\n")
    sys.exit(3)
signal.signal(signal.SIGTERM, signal.SIG_IGN if MODE == "stubborn" else leave)
HTTPServer(("127.0.0.1", int(os.environ["WORKERPOOL_PROBE_PORT"])), Health).serve_forever()
