"""A web server in front of another one that counts what is asked, by https when it is given a certificate."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from yarl import URL

from tests.support.authority import Authority

Handler = Callable[[web.Request], Awaitable[web.Response]]


@dataclass
class Counted:
    """Where the proxy is, and the paths with their queries that were asked for, as they came."""

    url: str = ""
    asked: list[str] = field(default_factory=list)


@asynccontextmanager
async def counting(target: str, authority: Authority | None = None) -> AsyncIterator[Counted]:
    """A proxy in front of ``target`` (credentials in it are left out; those of the client are passed on)."""
    counted = Counted()

    async def forward(request: web.Request) -> web.Response:
        counted.asked.append(request.raw_path)
        base = URL(target).with_user(None)
        url = URL(f"{str(base).rstrip('/')}{request.raw_path}", encoded=True)
        headers = {"Authorization": request.headers.get("Authorization", "")}
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
            return web.Response(body=await answer.read(), status=answer.status, content_type=answer.content_type)

    async with serving(forward, authority) as counted.url:
        yield counted


@asynccontextmanager
async def serving(handler: Handler, authority: Authority | None = None) -> AsyncIterator[str]:
    """A web server on a free port of loopback that answers every request with ``handler``; its URL."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    context = None
    if authority is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(authority.server_certificate, authority.server_key)
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    try:
        await site.start()
        port = runner.addresses[0][1]
        yield f"{'http' if context is None else 'https'}://127.0.0.1:{port}"
    finally:
        await runner.cleanup()
