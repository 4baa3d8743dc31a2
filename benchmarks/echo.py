"""A serving container that does nothing but answer: what remains is the way to it.

An event loop and no framework, so that its own share of a request is small.
"""

import asyncio
import os

OK = b"HTTP/1.1 200 OK\r\ncontent-type: text/csv\r\ncontent-length: 4\r\n\r\n0.5\n"


class Echo(asyncio.Protocol):
    """Answers whatever came with the same number."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            length = head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]
            size = end + 4 + int(length or 0)
            if len(self._buffer) < size:
                return
            self._buffer = self._buffer[size:]
            assert isinstance(self._transport, asyncio.Transport)
            self._transport.write(OK)


async def main() -> None:
    """Serve until killed."""
    where = (os.environ["SAGEMAKER_BIND_TO_HOST"], int(os.environ["SAGEMAKER_BIND_TO_PORT"]))
    server = await asyncio.get_running_loop().create_server(Echo, *where)
    await server.serve_forever()


asyncio.run(main())
