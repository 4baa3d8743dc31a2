"""Serverless variants: a process for every concurrent request, none when none come.

"Deploy models with Amazon SageMaker Serverless Inference": an environment is set up (a cold start)
when a request finds none that is free, and taken down after some idle time, which AWS does not
document. What is provisioned stays warm.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from local.sagemaker.context import Context
from local.sagemaker.errors import ServiceError, invalid
from local.sagemaker.hosting.asking import Call, no_answer, refused
from local.sagemaker.hosting.connection import Response
from local.sagemaker.hosting.instance import DeploymentError, Instance, definitions_of
from local.sagemaker.hosting.replica import UnhealthyError
from local.sagemaker.store import Record

if TYPE_CHECKING:
    from local.sagemaker.hosting.fleet import Variant

_BODY = 4 * 2**20  # bytes: "request payload size of 4 MB"
_NOT_OF_VARIANT = (
    "InitialInstanceCount",
    "InstanceType",
    "InstancePools",
    "ManagedInstanceScaling",
)
_NOT_OF_CONFIG = (
    "DataCaptureConfig",
    "AsyncInferenceConfig",
    "ExplainerConfig",
    "ShadowProductionVariants",
    "VpcConfig",
    "EnableNetworkIsolation",
)
_PING = 180.0  # seconds: "/ping within 3 minutes"


@dataclass(eq=False)
class _Environment:
    """A place for one process: `instance` is None while nothing runs there."""

    number: int
    instance: Instance | None = None
    busy: bool = False
    expiry: asyncio.TimerHandle | None = None


@dataclass
class Serverless:
    """Answers a variant's requests, each by an environment of its own.

    At most `concurrency` requests are under way, the rest is throttled; `processes` of them at
    once, as many as this machine is allowed, the rest waits.
    """

    concurrency: int
    provisioned: int
    processes: int
    idle_seconds: float
    memory: int
    """Bytes that an environment may use."""
    _environments: list[_Environment] = field(default_factory=list)
    _under_way: int = 0
    _freed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @classmethod
    def of(cls, context: Context, config: Record) -> Serverless:
        """Return what answers a variant with this ServerlessConfig."""
        settings = context.settings
        return cls(
            config["MaxConcurrency"],
            min(config.get("ProvisionedConcurrency", 0), settings.instances),
            min(config["MaxConcurrency"], settings.instances),
            settings.serverless_idle,
            config["MemorySizeInMB"] * 2**20,
        )

    async def answer(self, variant: Variant, call: Call) -> Response:
        """Answer a call, after a cold start if no environment is free.

        Raises ThrottlingException, ModelError, and ValidationError for more than 4 MB.
        """
        if len(call.body) > _BODY:
            raise refused(
                "1 validation error detected: Value at 'body' failed to satisfy constraint: Member "
                f"must have length less than or equal to {_BODY}"
            )
        if self._under_way >= self.concurrency:
            raise ServiceError("ThrottlingException", "Rate exceeded", 400)
        self._under_way += 1
        try:
            environment = await self._take(variant)
            try:
                instance = environment.instance
                if instance is None or not instance.ready:
                    instance = await self._set_up(variant, environment, call)
                return await instance.answer(call)
            finally:
                await self._give_back(variant, environment)
        finally:
            self._under_way -= 1

    async def _take(self, variant: Variant) -> _Environment:
        async with self._freed:
            self._adopt(variant)
            await self._freed.wait_for(self._has_room)
            free = [environment for environment in self._environments if not environment.busy]
            warm = [environment for environment in free if environment.instance]
            if not free:
                free = [_Environment(len(self._environments))]
                self._environments += free
            environment = (warm or free)[0]
            environment.busy = True
            if environment.expiry:
                environment.expiry.cancel()
            return environment

    def _has_room(self) -> bool:
        return sum(each.busy for each in self._environments) < self.processes

    def _adopt(self, variant: Variant) -> None:
        """Take over the provisioned environments that the variant was started with."""
        if not self._environments:
            self._environments = [
                _Environment(number, instance) for number, instance in enumerate(variant.replicas)
            ]

    async def _set_up(self, variant: Variant, environment: _Environment, call: Call) -> Instance:
        """Start an environment's process and wait for it: the cold start."""
        began = time.perf_counter()
        try:
            instance = await asyncio.to_thread(self._start, variant, environment)
        except (UnhealthyError, DeploymentError) as error:
            await asyncio.to_thread(self._clear, variant, environment)
            raise no_answer("primary", f"The container did not start in time: {error}") from error
        call.measures.append(("ModelSetupTime", (time.perf_counter() - began) * 1e6))
        return instance

    def _start(self, variant: Variant, environment: _Environment) -> Instance:
        instance = environment.instance
        if instance is None:
            instance = variant.make(environment.number)
            variant.adopt(instance)
            environment.instance = instance
            instance.start()
        instance.wait_ready(min(_PING, variant.startup_seconds))
        return instance

    async def _give_back(self, variant: Variant, environment: _Environment) -> None:
        async with self._freed:
            environment.busy = False
            if environment.instance and environment.number >= self.provisioned:
                loop = asyncio.get_running_loop()
                environment.expiry = loop.call_later(
                    self.idle_seconds, self._expire, variant, environment
                )
            self._freed.notify()

    def _expire(self, variant: Variant, environment: _Environment) -> None:
        """Take down an environment that was idle long enough; it is busy until it is gone."""
        environment.busy = True

        async def take_down() -> None:
            await asyncio.to_thread(self._clear, variant, environment)
            async with self._freed:
                environment.busy = False
                self._freed.notify()

        task = asyncio.get_running_loop().create_task(take_down())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _clear(self, variant: Variant, environment: _Environment) -> None:
        instance, environment.instance = environment.instance, None
        if instance:
            variant.release(instance)
            instance.stop()


def check(request: Record, models: list[Record]) -> None:
    """Refuse what a config with a serverless variant cannot have.

    "Serverless Inference", feature exclusions; `models` are those of the variants.
    """
    first, *others = request["ProductionVariants"]
    config = first["ServerlessConfig"]
    if others:
        raise invalid("Multiple production variants are not supported with ServerlessConfig.")
    if config["MemorySizeInMB"] % 1024:
        raise invalid(
            f"1 validation error detected: Value '{config['MemorySizeInMB']}' at 'memorySizeInMB' "
            "failed to satisfy constraint: Member must be one of 1024, 2048, 3072, 4096, 5120, 6144"
        )
    if config.get("ProvisionedConcurrency", 0) > config["MaxConcurrency"]:
        raise invalid("ProvisionedConcurrency must be less than or equal to MaxConcurrency.")
    for part, members in ((first, _NOT_OF_VARIANT), (request, _NOT_OF_CONFIG)):
        for member in members:
            if part.get(member):
                raise invalid(f"{member} is not supported with ServerlessConfig.")
    for model in models:
        _check_model(model)


def _check_model(model: Record) -> None:
    for member in ("VpcConfig", "EnableNetworkIsolation"):
        if model.get(member):
            raise invalid(f"A model with {member} is not supported with ServerlessConfig.")
    first, *others = definitions_of(model)
    if others:
        raise invalid("An inference pipeline is not supported with ServerlessConfig.")
    if first.get("Mode") == "MultiModel":
        raise invalid("A multi-model container is not supported with ServerlessConfig.")


def check_update(old: Record, new: Record) -> None:
    """Refuse to turn an endpoint with instances into a serverless one.

    "You can update a serverless endpoint to real-time", never the other way round.
    """
    serverless = ["ServerlessConfig" in config["ProductionVariants"][0] for config in (old, new)]
    if serverless == [False, True]:
        raise invalid("Cannot update a real-time endpoint to a serverless endpoint.")
