"""A container that holds many models: fetched and loaded when they are asked for.

The container's side: "Contract for custom containers to deploy multiple models"; the caller's:
"Invoke a multi-model endpoint". Models that were used least recently are unloaded when there are
more than HEADRACE_LOCAL_LOADED_MODELS, or when the container has no memory left (507).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from local.sagemaker.context import Context
from local.sagemaker.errors import ServiceError
from local.sagemaker.hosting.asking import Call, Container, encode, model_error, no_answer, refused
from local.sagemaker.hosting.connection import ContainerConnectionError, Response
from local.sagemaker.hosting.replica import Serving, unpack_once
from local.sagemaker.store import Record
from local.sagemaker.transfer import S3, Location, TransferError, extract

_LOAD = 360.0  # seconds that loading goes on after its caller was told to come back
_CONFLICT, _NO_MEMORY = 409, 507


@dataclass(eq=False)
class _Model:
    """A model in a container, or on its way there. `name` is what the container calls it."""

    target: str
    name: str
    loading: asyncio.Task[list[tuple[str, float]]]
    under_way: int = 0


class MultiModel(Container):
    """A container of many models, each named by its key below the model data's prefix."""

    def __init__(
        self,
        serving: Serving,
        name: str,
        context: Context,
        credentials: Record,
        definition: Record,
        tree: Path,
    ) -> None:
        super().__init__(serving, name)
        self._context = context
        self._credentials = credentials
        self._prefix = definition["ModelDataUrl"].rstrip("/")
        setting = definition.get("MultiModelConfig", {}).get("ModelCacheSetting", "Enabled")
        self._cached = setting == "Enabled"
        self._folder = tree / "models"
        self._seen_at = f"{context.processes.root(tree)}/models"
        self._models: OrderedDict[str, _Model] = OrderedDict()
        self._holder = self.pool

    @property
    def loaded(self) -> int:
        """How many models are in the container's memory."""
        return sum(model.loading.done() for model in self._models.values())

    def name_of(self, target: str) -> str:
        """Return what the container calls a model: "an opaque identifier"."""
        return hashlib.sha256(target.encode()).hexdigest()[:32]

    def holds(self, target: str) -> bool:
        """Whether a model was loaded, or is being loaded."""
        return self._holder is self.pool and target in self._models

    async def answer(self, call: Call) -> Response:
        """Pass a call on to the model it names, loading that first.

        Raises ModelNotReadyException when loading takes longer than a call may.
        """
        target = call.option("target-model")
        if not target:
            raise refused(
                "The header X-Amzn-SageMaker-Target-Model is required: endpoint "
                f"{call.endpoint} is a multi-model endpoint."
            )
        model = self._find(call, target)
        model.under_way += 1
        try:
            await self._ready(call, model)
            return await self.ask(call, f"/models/{model.name}/invoke")
        finally:
            model.under_way -= 1
            if not self._cached and not model.under_way and model.loading.done():
                await self._unload(call.endpoint, model)

    def _find(self, call: Call, target: str) -> _Model:
        if self._holder is not self.pool:  # the container was started again, with empty memory
            self._holder, self._models = self.pool, OrderedDict()
        model = self._models.get(target)
        call.measures.append(("ModelCacheHit", float(bool(model and model.loading.done()))))
        if model is None:
            name = self.name_of(target)
            loading = asyncio.get_running_loop().create_task(
                self._load(call.endpoint, target, name)
            )
            model = self._models[target] = _Model(target, name, loading)
            loading.add_done_callback(lambda task: self._forget_failure(model, task))
        self._models.move_to_end(target)
        return model

    def _forget_failure(self, model: _Model, task: asyncio.Task[list[tuple[str, float]]]) -> None:
        failed = task.cancelled() or task.exception() is not None
        if failed and self._models.get(model.target) is model:
            del self._models[model.target]

    async def _ready(self, call: Call, model: _Model) -> None:
        if model.loading.done():
            model.loading.result()
            return
        began = time.perf_counter()
        try:
            async with asyncio.timeout(call.limit):
                measures = await asyncio.shield(model.loading)
        except TimeoutError as error:
            raise ServiceError(
                "ModelNotReadyException",
                f"The model {model.target} is not ready yet; it is being loaded. Try again.",
                429,
            ) from error
        call.measures += measures
        call.measures.append(("ModelLoadingWaitTime", (time.perf_counter() - began) * 1e6))

    async def _load(self, endpoint: str, target: str, name: str) -> list[tuple[str, float]]:
        """Bring a model into the container; return how long its parts took, in microseconds."""
        began = time.perf_counter()
        await asyncio.to_thread(self._fetch, target, name)
        fetched = time.perf_counter()
        unloading = 0.0
        while self.loaded >= self._context.settings.loaded_models:
            if not await self._evict(endpoint):
                break  # all are being used: the container may still have room
        body = json.dumps({"model_name": name, "url": f"{self._seen_at}/{name}/model"}).encode()
        while True:
            response = await self._manage("POST", "/models", body)
            if response.status != _NO_MEMORY:
                break
            unloads = time.perf_counter()
            if not await self._evict(endpoint):
                break
            unloading += time.perf_counter() - unloads
        if response.status != _CONFLICT and not 200 <= response.status < 300:
            raise model_error(self.name, endpoint, response)
        return [
            ("ModelDownloadingTime", (fetched - began) * 1e6),
            ("ModelLoadingTime", (time.perf_counter() - fetched - unloading) * 1e6),
            *([("ModelUnloadingTime", unloading * 1e6)] if unloading else []),
        ]

    async def _evict(self, endpoint: str) -> bool:
        """Unload the model used least recently; return whether there was one to unload."""
        for model in self._models.values():
            if model.loading.done() and not model.under_way:
                await self._unload(endpoint, model)
                return True
        return False

    async def _unload(self, endpoint: str, model: _Model) -> None:
        if self._models.get(model.target) is not model:
            return
        del self._models[model.target]
        response = await self._manage("DELETE", f"/models/{model.name}", b"")
        if response.status not in (200, 404):
            raise model_error(self.name, endpoint, response)

    async def _manage(self, method: str, path: str, body: bytes) -> Response:
        headers = {"content-type": "application/json"}
        request = encode(method, path, self.pool.port, headers, body)
        try:
            return await self.pool.send(request, _LOAD)
        except (ContainerConnectionError, TimeoutError) as error:
            raise no_answer(self.name, f"{method} {path}: {error}") from error

    def _fetch(self, target: str, name: str) -> None:
        location = Location.of(f"{self._prefix}/{target.lstrip('/')}")

        def fill(partial: Path) -> None:
            archive = partial.with_name(f"{name}.tar.gz")
            S3(self._context.cloud, self._credentials).download_file(str(location), archive)
            try:
                extract(archive, partial / "model", self._context.settings.archive_bytes)
            finally:
                archive.unlink()

        try:
            unpack_once(self._folder / name, fill)
        except TransferError as error:
            raise refused(
                f"Failed to download model data(bucket: {location.bucket}, key: {location.key}). "
                "Please ensure that there is an object located at the URL and that the role passed "
                f"to CreateModel has permissions to download the model. {error}"
            ) from error
