"""Asynchronous endpoints: requests kept in a queue, answered into S3.

"Asynchronous inference" of the developer guide. A request is stored before it is accepted and
forgotten when its answer is in S3, so that a restart repeats what was under way and loses nothing.
All of it happens on an event loop of its own, away from the callers'.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Coroutine, Mapping
from typing import Any

from local.sagemaker.context import Context
from local.sagemaker.errors import ServiceError
from local.sagemaker.hosting.asking import Call
from local.sagemaker.hosting.deferred import (
    DownloadError,
    FailedError,
    UploadError,
    accepted,
    input_of,
    notify,
    put_failure,
    put_output,
)
from local.sagemaker.hosting.fleet import Fleet, Variant
from local.sagemaker.hosting.measures import Measures, errors_of
from local.sagemaker.store import Record

KIND = "AsynchronousInvocation"
_PAUSE = 0.2  # seconds between two looks at a backlog that no instance takes
_QUIET = 60.0  # seconds between two measures of an empty queue
_CLOSE = 5.0
logger = logging.getLogger(__name__)
Answer = tuple[int, dict[str, str], bytes]


class Asynchronous:
    """The queues of all asynchronous endpoints."""

    def __init__(self, context: Context, fleets: Mapping[str, Fleet], measures: Measures) -> None:
        self._context = context
        self._fleets = fleets
        self._measures = measures
        self._waiting: dict[str, dict[str, Record]] = defaultdict(dict)
        self._under_way: Counter[int] = Counter()
        self._quiet: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="sagemaker-async", daemon=True)

    def start(self) -> None:
        """Take up what was queued, and work."""
        for record in self._context.store.all(KIND):
            self._waiting[record["endpoint"]][record["id"]] = record
        self._loop = asyncio.new_event_loop()
        self._thread.start()

    def close(self) -> None:
        """Stop working; what is not answered stays stored."""
        self._closing = True
        if self._loop and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._wake.set)
            self._thread.join(_CLOSE)

    async def accept(self, fleet: Fleet, headers: dict[str, str], body: bytes) -> Answer:
        """Queue a request and say where its answer will be. Raises ValidationError."""
        record, answer = accepted(fleet, headers, body)
        await asyncio.to_thread(
            self._context.store.insert, KIND, record["id"], f"{KIND}/{record['id']}", record
        )
        if self._loop:  # else it is taken up at the start
            self._loop.call_soon_threadsafe(self._queue, record)
        return answer

    def measure(self) -> None:
        """Note how long the queues are, for every asynchronous endpoint in service."""
        now = time.time()
        for name, fleet in list(self._fleets.items()):
            if "AsyncInferenceConfig" not in fleet.deployment["config"]:
                continue
            waiting = list(self._waiting.get(name, {}).values())
            if not waiting and now - self._quiet.get(name, 0.0) < _QUIET:
                continue
            self._quiet[name] = 0.0 if waiting else now
            ready = sum(replica.ready for replica in fleet.replicas)
            oldest = min((record["received"] for record in waiting), default=now)
            values = [
                ("ApproximateBacklogSize", float(len(waiting))),
                ("ApproximateAgeOfOldestRequest", now - oldest),
                ("HasBacklogWithoutCapacity", float(bool(waiting) and not ready)),
            ]
            if ready:
                values.append(("ApproximateBacklogSizePerInstance", len(waiting) / ready))
            self._measures.add(name, "", values)

    def _run(self) -> None:
        assert self._loop is not None  # noqa: S101 - made before the thread
        try:
            self._loop.run_until_complete(self._work())
        except Exception:  # a thread's boundary
            logger.exception("asynchronous requests are no longer answered")

    async def _work(self) -> None:
        while not self._closing:
            for endpoint in [name for name, waiting in self._waiting.items() if waiting]:
                self._send(endpoint)
            pause = _PAUSE if any(self._waiting.values()) else None
            try:
                await asyncio.wait_for(self._wake.wait(), pause)
            except TimeoutError:
                continue
            self._wake.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _queue(self, record: Record) -> None:
        self._waiting[record["endpoint"]][record["id"]] = record
        self._wake.set()

    def _send(self, endpoint: str) -> None:
        """Take as much of an endpoint's queue as is due, or as its instances may have at once."""
        waiting, fleet = self._waiting[endpoint], self._fleets.get(endpoint)
        if fleet is None:
            if self._context.store.get("Endpoint", endpoint) is None:
                self._forget(waiting)
            return
        client = fleet.deployment["config"]["AsyncInferenceConfig"].get("ClientConfig", {})
        each = client.get(
            "MaxConcurrentInvocationsPerInstance", self._context.settings.async_concurrency
        )
        now = time.time()
        for record in list(waiting.values()):
            target = fleet.target()
            assert target is not None  # noqa: S101 - without a name there is always one
            variant = target.variant
            expired = now - record["received"] > record["ttl"]
            if not expired:
                ready = sum(replica.ready for replica in variant.replicas)
                if self._under_way[id(variant)] >= each * ready:
                    return
            del waiting[record["id"]]
            self._begin(self._answer(target.fleet, variant, record, expired))

    def _forget(self, waiting: dict[str, Record]) -> None:
        """Drop the queue of an endpoint that was deleted."""
        for name in list(waiting):
            self._context.store.delete(KIND, name)
            del waiting[name]

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, fleet: Fleet, variant: Variant, record: Record, expired: bool) -> None:
        self._under_way[id(variant)] += 1
        began = time.time()
        values = [("TimeInBacklog", (began - record["received"]) * 1000)]
        try:
            ended = await self._process(fleet, variant, record, expired, values)
        except Exception:  # a request's boundary: it stays stored, for the next start
            logger.exception("asynchronous request %s", record["id"])
            return
        finally:
            self._under_way[id(variant)] -= 1
            self._wake.set()
        if not ended:
            self._queue(record)
            return
        values.append(("TotalProcessingTime", (time.time() - record["received"]) * 1000))
        self._measures.add(fleet.endpoint, variant.name, values)
        await asyncio.to_thread(self._context.store.delete, KIND, record["id"])

    async def _process(
        self,
        fleet: Fleet,
        variant: Variant,
        record: Record,
        expired: bool,
        values: list[tuple[str, float]],
    ) -> bool:
        """Answer a request into S3; return False if it has to be asked again."""
        config = fleet.deployment["config"]["AsyncInferenceConfig"]["OutputConfig"]
        try:
            if expired:
                values.append(("ExpiredRequests", 1.0))
                raise FailedError(
                    "The request expired before it was processed (RequestTTLSeconds)."
                )
            body = await self._timed(
                values, "RequestDownloadLatency", input_of, self._context, fleet.role, record
            )
            call = Call(fleet.endpoint, record["headers"], body, record["timeout"])
            asked = time.perf_counter()
            try:
                response = await variant.answer(call)
            except ServiceError as error:
                if self._closing or variant.closed:
                    return False  # its container was stopped: another one answers
                values += errors_of(error.fields.get("OriginalStatusCode") or None)[:2]
                raise FailedError(
                    error.message, str(error.fields.get("OriginalMessage", ""))
                ) from error
            finally:
                values.append(("ModelLatency", (time.perf_counter() - asked) * 1e6))
            values += errors_of(response.status)[:2]
            await self._timed(
                values,
                "ResponseUploadLatency",
                put_output,
                self._context,
                fleet.role,
                record,
                response,
            )
            values.append(("InvocationsProcesssed", 1.0))  # three s: as AWS spells it
            notified = await asyncio.to_thread(
                notify, self._context, fleet.role, config, record, response, None
            )
        except (FailedError, DownloadError, UploadError) as failure:
            values.append(("InvocationFailures", 1.0))
            if isinstance(failure, DownloadError):
                values.append(("RequestDownloadFailures", 1.0))
            if isinstance(failure, UploadError):
                values.append(("ResponseUploadFailures", 1.0))
            await asyncio.to_thread(put_failure, self._context, fleet, record, failure)
            notified = await asyncio.to_thread(
                notify, self._context, fleet.role, config, record, None, failure
            )
        if not notified:
            values.append(("NotificationFailures", 1.0))
        return True

    async def _timed(
        self, values: list[tuple[str, float]], metric: str, work: Any, *arguments: Any
    ) -> Any:
        began = time.perf_counter()
        result = await asyncio.to_thread(work, *arguments)
        values.append((metric, (time.perf_counter() - began) * 1e6))
        return result
