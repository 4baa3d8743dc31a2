"""The ASGI application: MiniStack with every correction installed, and its start and end."""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

from ministack import app as ministack

from local.ministack import (
    async_invocations,
    branches,
    cloudformation,
    eventbridge,
    functions,
    guard,
    iam,
    persistence,
    stepfunctions,
    tasks,
)
from local.settings import Settings

_log = logging.getLogger(__name__)
# Without credentials and with one POST, any web page could wipe the state or change the server.
_FORBIDDEN = ("/_ministack/reset", "/_ministack/config", "/_localstack/")


class Server:
    """Serves AWS; `close` stops every child and saves all state."""

    def __init__(self, settings: Settings, on_ready: Callable[[], None]) -> None:
        self._on_ready = on_ready
        self._activity = threading.Event()
        guard.expect(ministack.AUTH, "AUTH=true no longer turns on IAM")
        guard.expect(ministack.PERSIST_STATE, "PERSIST_STATE=1 no longer turns on persistence")
        iam.install()
        self._pool = functions.install(settings, self._activity)
        async_invocations.install(settings)
        eventbridge.install(settings)
        stepfunctions.install(self._activity)
        tasks.install()
        branches.install()
        cloudformation.install()
        persistence.install()
        self._checkpoints = persistence.Checkpoints(
            settings.state / "services",
            settings.checkpoint_seconds,
            settings.finished_executions,
            self._activity,
        )

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """One connection, request or lifespan."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif scope["type"] == "http" and scope["path"].startswith(_FORBIDDEN):
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        else:
            self._activity.set()
            await ministack.app(scope, receive, send)

    def close(self) -> None:
        """End functions and jobs, then save."""
        self._pool.close()
        self._checkpoints.close()
        _log.info("stopped")

    async def _lifespan(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        async def noticed(message: dict[str, Any]) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                # Loading is done; from here on we save, not MiniStack.
                ministack.PERSIST_STATE = False
                self._checkpoints.start()
                asyncio.get_running_loop().call_soon(self._on_ready)

        await ministack.app(scope, receive, noticed)
