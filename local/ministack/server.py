"""The ASGI application: MiniStack with every correction installed, and its start and end."""

import asyncio
import logging
import signal
from collections.abc import Callable
from typing import Any

from ministack import app as ministack

from local.autoscaling import AutoScaling
from local.ministack import (
    alarms,
    async_invocations,
    branches,
    cloudformation,
    codebuild,
    distributed_map,
    ecr,
    eventbridge,
    functions,
    guard,
    iam,
    instance,
    logs,
    persistence,
    s3,
    sdk_calls,
    service_metrics,
    stepfunctions,
    tasks,
)
from local.ministack.autoscaling import CloudMonitor, ScalingPlug
from local.ministack.cloud import LocalCloud
from local.ministack.environments import Pool
from local.ministack.runtime import Front
from local.ministack.sagemaker import Plug
from local.sagemaker import SageMaker
from local.settings import Settings

_log = logging.getLogger(__name__)
# Without credentials and with one POST, any web page could wipe the state or change the server.
_FORBIDDEN = ("/_ministack/reset", "/_ministack/config", "/_localstack/")


class Server:
    """Serves AWS; `wind_down`, then `close`, stop every child and save all state."""

    def __init__(self, settings: Settings, on_ready: Callable[[], None]) -> None:
        self._on_ready = on_ready
        guard.expect(ministack.AUTH, "AUTH=true no longer turns on IAM")
        guard.expect(ministack.PERSIST_STATE, "PERSIST_STATE=1 no longer turns on persistence")
        instance.begin(settings)
        self._pool = Pool(settings.concurrency, settings.warm, settings.cache, settings.scratch)
        functions.install(self._pool)
        for correction in (
            iam,
            async_invocations,
            eventbridge,
            s3,
            stepfunctions,
            tasks,
            branches,
            distributed_map,
            sdk_calls,
            cloudformation,
            codebuild,
            ecr,
            logs,
            service_metrics,
            alarms,
            persistence,
        ):
            correction.install()
        self._checkpoints = persistence.Checkpoints(settings)
        self._sagemaker = SageMaker(settings.state / "sagemaker", LocalCloud())
        Plug(self._sagemaker)
        self._autoscaling = AutoScaling(
            settings.state / "autoscaling",
            self._sagemaker.call,
            CloudMonitor(),
            settings.scaling_period,
        )
        self._sagemaker.scaled_by(self._autoscaling.variants)
        ScalingPlug(self._autoscaling)
        self.front = Front(self._sagemaker, settings.region, settings.account_id)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """One connection, request or lifespan."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif scope["type"] == "http" and scope["path"].startswith(_FORBIDDEN):
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        else:
            instance.activity.set()
            await ministack.app(scope, receive, send)

    def wind_down(self) -> None:
        """End jobs and endpoints, which deliver their last data while AWS still answers."""
        self._autoscaling.close()
        self._sagemaker.close()

    def close(self) -> None:
        """End functions, then save."""
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
                start = asyncio.get_running_loop().run_in_executor(None, self._start)
                start.add_done_callback(_end_if_failed)

        await ministack.app(scope, receive, noticed)

    def _start(self) -> None:
        self._sagemaker.start()
        self._autoscaling.start()
        self._on_ready()


def _end_if_failed(start: "asyncio.Future[None]") -> None:
    if start.exception():
        _log.error("could not start", exc_info=start.exception())
        signal.raise_signal(signal.SIGTERM)
