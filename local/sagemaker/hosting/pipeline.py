"""Several containers in one instance: in series, or called one by one.

"Inference pipelines in Amazon SageMaker AI": "the response from each container is the request of
the next"; "Use a multi-container endpoint with direct invocation": TargetContainerHostname says
which.
"""

from __future__ import annotations

import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor

from local.sagemaker.hosting.asking import PREFIX, Call, Container, refused
from local.sagemaker.hosting.connection import Response

_TARGET = "target-container-hostname"


class Chain:
    """An instance of several containers; it is ready when all of them are.

    One of none is the room of inference components.
    """

    def __init__(self, containers: list[Container], direct: bool) -> None:
        self.containers = containers
        self.outstanding = 0
        self._direct = direct

    @property
    def ready(self) -> bool:
        """Whether every container is healthy."""
        return all(container.ready for container in self.containers)

    def start(self) -> None:
        """Start every container."""
        for container in self.containers:
            container.start()

    def wait_ready(self, limit: float) -> None:
        """Wait until every container is healthy. Raises UnhealthyError after `limit` seconds."""
        deadline = time.monotonic() + limit
        for container in self.containers:
            container.wait_ready(deadline - time.monotonic())

    def stop(self) -> None:
        """Stop every container, each with its grace."""
        with ThreadPoolExecutor(max(1, len(self.containers))) as pool:
            list(pool.map(Container.stop, self.containers))

    def kill(self) -> None:
        """Stop every container at once."""
        for container in self.containers:
            container.kill()

    async def answer(self, call: Call) -> Response:
        """Pass a call through the containers; an error of one ends it there."""
        if not self.containers:
            raise refused(
                "Inference Component Name header is required for endpoints to which you plan to "
                "deploy inference components."
            )
        self.outstanding += 1
        try:
            if self._direct:
                return await self._directly(call)
            return await self._in_series(call)
        finally:
            self.outstanding -= 1

    async def _in_series(self, call: Call) -> Response:
        *first, last = self.containers
        for container in first:
            step = dataclasses.replace(call, on_part=None)
            response = await container.answer(step)
            headers = {**call.headers, "content-type": response.headers.get("content-type", "")}
            call = dataclasses.replace(
                step, headers=headers, body=response.body, on_part=call.on_part
            )
        return await last.answer(call)

    async def _directly(self, call: Call) -> Response:
        name = call.option(_TARGET)
        if name is None:
            raise refused(
                f"The header {PREFIX}{_TARGET} is required: the containers of endpoint "
                f"{call.endpoint} are called one by one."
            )
        for container in self.containers:
            if container.name == name:
                headers = {
                    key: each for key, each in call.headers.items() if key != PREFIX + _TARGET
                }
                return await container.answer(dataclasses.replace(call, headers=headers))
        raise refused(f"Container {name} not found for Request.")
