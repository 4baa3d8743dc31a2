"""One batch transform job's work: instances up, objects in, answers out in their order.

Objects are worked on from disk, record by record; at most MaxConcurrentTransforms payloads of an
instance are in memory at once. Outputs are uploaded when all is done, since a stopped job stores
none.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import uuid
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, cast

from local.sagemaker.context import Context
from local.sagemaker.families.jobs import JobFailedError, assume, download_failure
from local.sagemaker.hosting.instance import Instance
from local.sagemaker.jobs.line import Job
from local.sagemaker.store import Record
from local.sagemaker.transfer import S3, Location, NothingFoundError, TransferError
from local.sagemaker.transform.crew import LOG_GROUP, Crew, host
from local.sagemaker.transform.joining import JoinError, Joining
from local.sagemaker.transform.jsonpath import Path as JsonPath
from local.sagemaker.transform.jsonpath import PathError
from local.sagemaker.transform.records import RecordError, split
from local.sagemaker.transform.sending import (
    InvocationError,
    Rates,
    Sender,
    execution_parameters,
)


@dataclass
class Item:
    """An input object: its name below the input's prefix, and what came of it."""

    number: int
    name: str
    location: Location
    failure: str = ""


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
        self.log = context.logs.stream(LOG_GROUP, f"{self.name}/{host(0)}/data-log")

    def run(self) -> None:
        """Carry the job out, or return early when it is stopped. Raises JobFailedError."""
        self.s3 = S3(
            self.context.cloud, assume(self.context, self.model["ExecutionRoleArn"], self.name)
        )
        items = self._list()
        for folder in ("given", "results"):
            (self.tree / folder).mkdir(parents=True)
        with Crew(self.context, self.record, self.job, self.tree) as crew:
            crew.wait_ready()
            if not self.job.stopping:
                asyncio.run(self._transform(crew.instances, items))
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

    async def _transform(self, instances: list[Instance], items: list[Item]) -> None:
        """Share the objects out among the instances, as AWS does, and transform them."""
        container = await asyncio.to_thread(execution_parameters, instances[0])
        rates = Rates.settle(self.record, container)
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
