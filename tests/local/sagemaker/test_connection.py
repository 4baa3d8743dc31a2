"""The client of serving containers, against servers that behave in every way."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from local.sagemaker.hosting.connection import ContainerConnectionError, Pool, Response

REQUEST = b"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi"
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def converse(script: Script, requests: int = 1, limit: float = 5) -> tuple[list[Response], int]:
    """Send requests to a server that runs `script`; return the responses and connections used."""
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        try:
            await script(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client left
        finally:
            writer.close()

    async def run() -> list[Response]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            pool = Pool(server.sockets[0].getsockname()[1])
            return [await pool.send(REQUEST, limit) for _ in range(requests)]

    return asyncio.run(run()), connections


def replies(*parts: bytes, keep: bool = True) -> Script:
    """A server that answers every request with parts, each on its own."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readexactly(len(REQUEST))
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.001)
            if not keep:
                return

    return script


OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: 5\r\n\r\n0.25\n"


def test_one_connection_serves_many_requests() -> None:
    responses, connections = converse(replies(OK), requests=3)
    assert responses == [Response(200, responses[0].headers, b"0.25\n")] * 3
    assert responses[0].headers["content-type"] == "text/csv"
    assert connections == 1


@pytest.mark.parametrize("cut", [1, 9, 17, 40, len(OK) - 6, len(OK) - 1])
def test_responses_may_come_in_pieces(cut: int) -> None:
    responses, _ = converse(replies(OK[:cut], OK[cut:]))
    assert responses[0].body == b"0.25\n"


def test_chunks() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    parts = (head, b"3;note=x\r\nabc\r\n2\r", b"\nde\r\n0\r\n", b"\r\n")
    responses, connections = converse(replies(*parts), requests=2)
    assert [response.body for response in responses] == [b"abcde"] * 2
    assert connections == 1


def test_interim_responses_are_skipped() -> None:
    responses, _ = converse(replies(b"HTTP/1.1 100 Continue\r\n\r\n" + OK))
    assert responses[0].status == 200


def test_a_body_may_end_with_the_connection() -> None:
    responses, connections = converse(
        replies(b"HTTP/1.0 200 OK\r\n\r\n", b"all of it", keep=False), requests=2
    )
    assert [response.body for response in responses] == [b"all of it"] * 2
    assert connections == 2


def test_connection_close_is_obeyed() -> None:
    closing = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    responses, connections = converse(replies(closing), requests=2)
    assert len(responses) == connections == 2


def test_an_idle_connection_the_server_closed_is_not_an_error() -> None:
    responses, connections = converse(replies(OK, keep=False), requests=3)
    assert [response.status for response in responses] == [200] * 3
    assert connections == 3


@pytest.mark.parametrize(
    "parts",
    [
        (b"",),
        (OK[:20],),
        (OK[:-1],),
        (b"not HTTP at all\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",),
    ],
)
def test_broken_answers(parts: tuple[bytes, ...]) -> None:
    with pytest.raises(ContainerConnectionError):
        converse(replies(*parts, keep=False))


def test_nobody_listens() -> None:
    with pytest.raises(ContainerConnectionError):
        asyncio.run(Pool(1).send(REQUEST, 5))


def test_a_late_answer_meets_no_other_request() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(REQUEST))
        await asyncio.sleep(0.2)
        writer.write(OK)

    with pytest.raises(TimeoutError):
        converse(script, limit=0.05)
