"""Something else answers where the API server should be."""

import asyncio

import pytest
from kubernetes.aio.client import Configuration

from workerpool_operator.kube.api import POOLS, Unreachable
from workerpool_operator.kube.client import Client

PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\nConnection: close\r\n\r\n<html></html>"


async def test_a_page_of_a_proxy_counts_as_no_answer() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(PAGE)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = Client(Configuration(host=f"http://127.0.0.1:{port}"))
    try:
        with pytest.raises(Unreachable, match=f"127.0.0.1:{port} is no API server"):
            await client.list(POOLS)
    finally:
        await client.close()
        server.close()
        await server.wait_closed()
