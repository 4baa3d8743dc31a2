"""One batch transform job's work: instances up, objects in, answers out in their order.

Objects are worked on from disk, record by record; at most MaxConcurrentTransforms payloads of an
instance are in memory at once. Outputs are uploaded when all is done, since a stopped job stores
none.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import threading
import time
import uuid
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, cast

from local.sagemaker.families.base import Context
from local.sagemaker.families.jobs import JobFailedError, assume, download_failure
from local.sagemaker.hosting.instance import DeploymentError, Instance, maker
from local.sagemaker.hosting.replica import UnhealthyError
from local.sagemaker.jobs import Job
from local.sagemaker.store import Record
from local.sagemaker.transfer import S3, Location, NothingFoundError, TransferError
from local.sagemaker.transform.joining import JoinError, Joining
from local.sagemaker.transform.jsonpath import Path as JsonPath
from local.sagemaker.transform.jsonpath import PathError
from local.sagemaker.transform.records import RecordError, split
from local.sagemaker.transform.sending import InvocationError, Sender, execution_parameters

_LOG_GROUP = "/aws/sagemaker/TransformJobs"
_STREAMED_RECORD_MB = 100  # with MaxPayloadInMB 0, the most a single record may have here
logger = logging.getLogger(__name__)


@dataclass
class Item:
    """An input object: its name below the input's prefix, and what came of it."""

    number: int
    name: str
    location: Location
    failure: str = ""


@dataclass(frozen=True)
class Rates:
    """How an instance is sent requests; a payload of 0 MB is a stream."""

    concurrent: int
    payload_mb: int
    single: bool

    @property
    def payload(self) -> int:
        """Return the largest payload in bytes."""
        return (self.payload_mb or _STREAMED_RECORD_MB) * 2**20


class TransformRun:
    """One job's work, between its statuses."""

    def __init__(self, context: Context, record: Record, job: Job, tree: Path) -> None:
        self.context, self.record, self.job, self.tree = context, record, job, tree
        self.name = record["TransformJobName"]
        self.model = record["_model"]
        self.input, self.output = record["TransformInput"], record["TransformOutput"]
        self.split = self.input.get("SplitType", "None")
        self.lines = self.output.get("AssembleWith") == "Line"
        self.started = datetime.now(UTC)
        self.joining = joining_of(record, self.started)
        self.log = context.logs.stream(_LOG_GROUP, f"{self.name}/i-{0:017x}/data-log")
        self._finished = threading.Event()

    def run(self) -> None:
        """Carry the job out, or return early when it is stopped. Raises JobFailedError."""
        self.s3 = S3(
            self.context.cloud, assume(self.context, self.model["ExecutionRoleArn"], self.name)
        )
        items = self._list()
        for folder in ("given", "results"):
            (self.tree / folder).mkdir(parents=True)
        instances = self._make_instances()
        watch = threading.Thread(target=self._obey, args=(instances,), daemon=True)
        watch.start()
        try:
            for instance in instances:
                instance.start()
            self._wait_ready(instances)
            asyncio.run(self._transform(instances, items))
        except asyncio.CancelledError:
            logger.debug("%s was interrupted", self.name)
        finally:
            self._finished.set()
            _stop_all(instances)
        self.job.check()
        if not self.job.stopping:
            self._store(items)

    def _list(self) -> list[Item]:
        source = self.input["DataSource"]["S3DataSource"]
        try:
            if source["S3DataType"] == "ManifestFile":
                found = self.s3.manifest(source["S3Uri"])
            else:
                found = list(self.s3.objects(source["S3Uri"]))
            if not found:
                raise NothingFoundError(f'No S3 objects found under S3 URL "{source["S3Uri"]}"')
        except TransferError as error:
            role = self.model["ExecutionRoleArn"]
            raise download_failure(error, source["S3Uri"], self.context, role) from error
        return [Item(number, *pair) for number, pair in enumerate(found)]

    def _make_instances(self) -> list[Instance]:
        given = {
            "SAGEMAKER_MAX_PAYLOAD_IN_MB": self.record.get("MaxPayloadInMB"),
            "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": self.record.get("MaxConcurrentTransforms"),
            "SAGEMAKER_BATCH_STRATEGY": {
                "SingleRecord": "SINGLE_RECORD",
                "MultiRecord": "MULTI_RECORD",
            }.get(self.record.get("BatchStrategy", "")),
        }
        environment = {
            **self.record.get("Environment", {}),
            "SAGEMAKER_BATCH": "true",
            **{name: str(value) for name, value in given.items() if value is not None},
        }
        count = self.record["TransformResources"]["InstanceCount"]
        model = self.model["ModelName"]
        variant = {
            "VariantName": self.name,
            "ModelName": model,
            "InitialInstanceCount": count,
            "InstanceType": self.record["TransformResources"]["InstanceType"],
        }
        try:
            make = maker(
                self.context,
                self.name,
                {"models": {model: self.model}},
                variant,
                self.tree,
                log_group=_LOG_GROUP,
                environment=environment,
            )
            return [make(number) for number in range(count)]
        except DeploymentError as error:
            raise JobFailedError(f"ClientError: {error}") from error

    def _wait_ready(self, instances: list[Instance]) -> None:
        deadline = time.monotonic() + self.context.settings.ping_timeout
        for instance in instances:
            try:
                instance.wait_ready(deadline - time.monotonic())
            except UnhealthyError as error:
                if self.job.stopping:
                    raise asyncio.CancelledError from error
                raise JobFailedError(
                    "AlgorithmError: The container did not pass the ping health check. Please "
                    f"check CloudWatch logs for this job. Last lines: {error}"
                ) from error

    def _obey(self, instances: list[Instance]) -> None:
        """End the instances, and so what waits for them, when the job is to stop or abandoned."""
        while not self._finished.is_set():
            if self.job.pause(0.5):
                if self.job.closing:
                    for instance in instances:
                        instance.kill()
                _stop_all(instances)
                return

    async def _transform(self, instances: list[Instance], items: list[Item]) -> None:
        """Share the objects out among the instances, as AWS does, and transform them."""
        rates = self._rates(await asyncio.to_thread(execution_parameters, instances[0]))
        self.log.write(
            f"[sagemaker logs]: MaxConcurrentTransforms={rates.concurrent}, "
            f"MaxPayloadInMB={rates.payload_mb}, "
            f"BatchStrategy={'SINGLE_RECORD' if rates.single else 'MULTI_RECORD'}"
        )
        async with asyncio.TaskGroup() as group:
            for number, instance in enumerate(instances):
                share = items[number :: len(instances)]
                files = max(1, min(rates.concurrent, len(share)))
                window = rates.concurrent // files
                queue = iter(share)
                for _ in range(files):
                    group.create_task(self._work(self._sender(instance), queue, rates, window))

    def _rates(self, container: Record) -> Rates:
        """Settle the rates: the request's, else the container's, else AWS's defaults."""

        def number(member: str, default: int) -> int:
            value = container.get(member, default)
            return int(self.record.get(member, value if isinstance(value, int) else default))

        concurrent = self.record.get("MaxConcurrentTransforms") or 0
        if not concurrent and isinstance(container.get("MaxConcurrentTransforms"), int):
            concurrent = container["MaxConcurrentTransforms"]
        strategy = self.record.get("BatchStrategy", container.get("BatchStrategy", ""))
        single = strategy in ("SingleRecord", "SINGLE_RECORD")
        return Rates(max(1, int(concurrent)), number("MaxPayloadInMB", 6), single)

    def _sender(self, instance: Instance) -> Sender:
        types = {"content-type": self.input.get("ContentType"), "accept": self.output.get("Accept")}
        client = self.record.get("ModelClientConfig", {})
        return Sender(
            self.name,
            instance,
            {name: value for name, value in types.items() if value},
            client.get("InvocationsTimeoutInSeconds", 600),
            client.get("InvocationsMaxRetries", 3),
            self.context.settings.ping_timeout,
        )

    async def _work(self, sender: Sender, queue: Iterator[Item], rates: Rates, window: int) -> None:
        for item in queue:
            if self.job.stopping or self.job.closing:
                return
            await self._object(item, sender, rates, window)

    async def _object(self, item: Item, sender: Sender, rates: Rates, window: int) -> None:
        """Transform an object; one that fails has no output, and the others go on."""
        given = self.tree / "given" / str(item.number)
        result = self._result(item)
        try:
            await asyncio.to_thread(self.s3.download_file, str(item.location), given)
            with self._open(given) as source, result.open("wb") as target:
                if rates.payload_mb or self.split != "None":
                    await self._batches(source, target, sender, rates, window)
                else:
                    await asyncio.to_thread(sender.stream, source, target)
        except InvocationError as error:
            item.failure = f"{'ClientError' if error.is_client else 'AlgorithmError'}: {error}"
        except (TransferError, RecordError, JoinError, PathError) as error:
            item.failure = f"ClientError: {error}"
        except (OSError, EOFError, zlib.error) as error:
            item.failure = f"ClientError: the object cannot be read: {error}"
        finally:
            given.unlink(missing_ok=True)
        if item.failure:
            result.unlink(missing_ok=True)
            where = f"{item.location.bucket}/{item.location.key}"
            self.log.write(f"[sagemaker logs]: {where}: {item.failure}")

    def _open(self, file: Path) -> IO[bytes]:
        if self.input.get("CompressionType") == "Gzip":
            return cast(IO[bytes], gzip.open(file))
        return file.open("rb")

    async def _batches(
        self, source: IO[bytes], target: IO[bytes], sender: Sender, rates: Rates, window: int
    ) -> None:
        """Send an object's batches, `window` at a time, and write their results in order."""
        waiting: deque[asyncio.Task[bytes]] = deque()
        try:
            for records in self._batched(source, rates):
                if len(waiting) >= window:
                    target.write(await waiting.popleft())
                waiting.append(asyncio.create_task(self._batch(sender, records)))
            while waiting:
                target.write(await waiting.popleft())
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    def _batched(self, source: IO[bytes], rates: Rates) -> Iterator[list[bytes]]:
        """Yield mini-batches: as many records as a payload holds, or one."""
        records: list[bytes] = []
        size = 0
        for record in split(source, self.split, rates.payload, framed=not rates.single):
            if not self.joining.is_plain and not record.strip():
                continue  # a blank line is no record that could be joined with a result
            if records and (rates.single or size + len(record) > rates.payload):
                yield records
                records, size = [], 0
            records.append(record)
            size += len(record)
        if records:
            yield records

    async def _batch(self, sender: Sender, records: list[bytes]) -> bytes:
        answer = await sender.send(self.joining.payload(records))
        if not self.joining.is_plain:
            return self.joining.results(records, answer, b"\n" if self.lines else b"")
        return answer + b"\n" if self.lines and not answer.endswith(b"\n") else answer

    def _result(self, item: Item) -> Path:
        return self.tree / "results" / str(item.number)

    def _store(self, items: list[Item]) -> None:
        """Upload the outputs of what went well. Raises JobFailedError if anything did not."""
        output = Location.of(self.output["S3OutputPath"])
        stored: list[Item] = []
        try:
            for item in items:
                if not item.failure:
                    self.s3.upload_file(self._result(item), output / f"{item.name}.out")
                    stored.append(item)
                self.job.check()
                if self.job.stopping:
                    for done in stored:
                        self.s3.delete(output / f"{done.name}.out")
                    return
            if stored and "DataCaptureConfig" in self.record:
                self._capture(stored)
        except TransferError as error:
            raise JobFailedError(f"ClientError: Output upload failed:{error}") from error
        finally:
            self.context.logs.flush()  # who sees the job end finds its log whole
        failed = [item for item in items if item.failure]
        if failed:
            kind, _, reason = failed[0].failure.partition(": ")
            raise JobFailedError(
                f"{kind}: {len(failed)} of {len(items)} input objects failed; "
                f"{failed[0].name}: {reason}"
            )

    def _capture(self, items: list[Item]) -> None:
        """Write the manifests of a data capture: the objects, not copies of them.

        See "Capture data from batch transform job" of the developer guide.
        """
        destination = Location.of(self.record["DataCaptureConfig"]["DestinationS3Uri"])
        source = str(items[0].location).removesuffix(items[0].name)
        target = self.output["S3OutputPath"].rstrip("/") + "/"
        names = [item.name for item in items]
        for side, prefix, suffix in (("input", source, ""), ("output", target, ".out")):
            manifest = [{"prefix": prefix}, *(f"{name}{suffix}" for name in names)]
            hour = f"{self.started:%Y/%m/%d/%H}"
            location = destination / f"{side}/{hour}/{uuid.uuid4()}.json"
            self.s3.put(location, json.dumps(manifest).encode())


def joining_of(record: Record, started: datetime) -> Joining:
    """Return a job's DataProcessing. Raises PathError."""
    wanted = record.get("DataProcessing", {})
    identify = record.get("DataCaptureConfig", {}).get("GenerateInferenceId")
    types = (record["TransformInput"].get("ContentType"), record["TransformOutput"].get("Accept"))
    return Joining(
        is_csv=any((kind or "").startswith("text/csv") for kind in types),
        input_filter=JsonPath.parse(wanted.get("InputFilter") or "$"),
        output_filter=JsonPath.parse(wanted.get("OutputFilter") or "$"),
        join=wanted.get("JoinSource") == "Input",
        started=f"{started:%Y-%m-%dT%H:%M:%SZ}" if identify else "",
    )


def _stop_all(instances: list[Instance]) -> None:
    with ThreadPoolExecutor(max_workers=len(instances)) as pool:
        list(pool.map(lambda instance: instance.stop(), instances))
