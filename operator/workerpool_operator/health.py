"""The operator's own page: /healthz (it works), /readyz (it knows the cluster), /metrics."""

from collections.abc import Callable, Sequence

from aiohttp import web

from workerpool_operator.metrics import CONTENT_TYPE, Metrics

Check = Callable[[], str | None]
"""Says what is wrong, None when nothing is."""


class HealthServer:
    """Serves until closed. ``live`` and ``ready``: checks that must all be content for a 200."""

    def __init__(self, metrics: Metrics, *, live: Sequence[Check], ready: Sequence[Check]) -> None:
        """Listens to nobody before `start`."""
        self._metrics = metrics
        self._live = tuple(live)
        self._ready = (*live, *ready)
        application = web.Application()
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._page)
        self._runner = web.AppRunner(application, access_log=None)

    async def start(self, host: str, port: int) -> int:
        """Listens on ``host``; 0 takes a free port. Returns the port. Raises OSError when it is taken."""
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        listening: int = self._runner.addresses[0][1]
        return listening

    async def close(self) -> None:
        """Stops listening."""
        await self._runner.cleanup()

    async def _healthz(self, _request: web.Request) -> web.Response:
        return _answer(self._live)

    async def _readyz(self, _request: web.Request) -> web.Response:
        return _answer(self._ready)

    async def _page(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.page(), headers={"Content-Type": CONTENT_TYPE})


def _answer(checks: Sequence[Check]) -> web.Response:
    wrong = [words for check in checks if (words := check()) is not None]
    return web.Response(status=503 if wrong else 200, text="\n".join(wrong or ["ok"]) + "\n")
