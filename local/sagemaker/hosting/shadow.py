"""Shadow variants: copies of requests, sent off the request path; their answers go to no caller.

"Shadow variants": how many requests are copied is the shadow variant's weight over the production
variant's.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
import time

from local.sagemaker.errors import ServiceError
from local.sagemaker.hosting.asking import Call
from local.sagemaker.hosting.capture import Capture
from local.sagemaker.hosting.fleet import Fleet, Variant
from local.sagemaker.hosting.measures import Measures

_UNDER_WAY = 200  # copies; more are dropped, so that a slow shadow cannot fill the memory
logger = logging.getLogger(__name__)


class Shadows:
    """Sends copies of requests."""

    def __init__(self, measures: Measures, capture: Capture) -> None:
        self._measures = measures
        self._capture = capture
        self._tasks: set[asyncio.Task[None]] = set()

    def copy(self, fleet: Fleet, call: Call) -> None:
        """Send a call to the shadow variants, if it is in their samples; wait for nothing."""
        production = sum(variant.weight for variant in fleet.variants.values())
        for shadow in fleet.shadows.values():
            share = shadow.weight / production if production else 1.0
            if random.random() >= share or len(self._tasks) >= _UNDER_WAY:  # noqa: S311 - sampling
                continue
            copy = dataclasses.replace(call, measures=[], on_part=None)
            task = asyncio.get_running_loop().create_task(self._send(fleet, shadow, copy))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send(self, fleet: Fleet, shadow: Variant, call: Call) -> None:
        try:
            response = await self._measures.measured(fleet, shadow, call, time.perf_counter())
        except ServiceError as error:  # counted in the shadow's metrics; the caller has his answer
            logger.debug("shadow %s of %s: %s", shadow.name, fleet.endpoint, error)
            return
        self._capture.sample(fleet, shadow.name, call.headers, call.body, response)
