"""Predictions from an endpoint: rows from a file or the command line, in as few requests as fit."""

import datetime
import decimal
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from headrace_cli.errors import FailedError, RefusedError, UsageError, error_code
from headrace_cli.session import Session

Row = dict[str, Any]
# InvokeEndpoint takes 6,291,456 bytes (API reference); the rest is for brackets and commas.
_REQUEST_BYTES = 6_000_000
_READERS = {
    ".csv": "read_csv",
    ".json": "read_json",
    ".jsonl": "read_json",
    ".parquet": "read_parquet",
}


@dataclass(frozen=True)
class Predictions:
    """What an endpoint answered, row by row, and which runs' models it was."""

    rows: list[Any]
    endpoint: str
    variant: str
    version: int | None
    runs: list[str]
    requests: int


def read_rows(path: Path) -> list[Row]:
    """Read rows from a CSV, JSON, JSON lines or parquet file.

    Raises:
        UsageError: it cannot be read.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None or not path.is_file():
        raise UsageError(
            f"Cannot read rows from {path}.", f"Give a file that ends in {', '.join(_READERS)}."
        )
    import duckdb  # late, because it takes 0.2 s that most commands need not spend

    try:
        # The reader's name is one of ours; the path is a parameter.
        found = duckdb.execute(f"select * from {reader}(?)", [str(path)])  # noqa: S608
        names = [column[0] for column in found.description or []]
        return [dict(zip(names, values, strict=True)) for values in found.fetchall()]
    except duckdb.Error as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


def write_rows(rows: Sequence[Any], path: Path) -> None:
    """Write rows to a CSV, JSON, JSON lines or parquet file.

    Raises:
        UsageError: the name does not end in one of these.
    """
    lines = "".join(f"{encode(row)}\n" for row in rows)
    if path.suffix == ".jsonl":
        path.write_text(lines)
    elif path.suffix == ".json":
        path.write_text(json.dumps(list(rows), default=_plain, indent=2) + "\n")
    elif path.suffix in {".csv", ".parquet"}:
        import duckdb  # late, as above

        temporary = path.with_name(f".{path.name}.jsonl")
        temporary.write_text(lines)
        try:
            relation = duckdb.read_json(str(temporary), format="newline_delimited")
            write = relation.write_csv if path.suffix == ".csv" else relation.write_parquet
            write(str(path))
        finally:
            temporary.unlink()
    else:
        raise UsageError(f"Cannot write {path}.", f"End its name in {', '.join(_READERS)}.")


def predict(session: Session, model: str, rows: Sequence[Row]) -> Predictions:
    """Ask a model's endpoint about rows.

    Raises:
        RefusedError: nothing serves the model, or its container refuses the rows.
        FailedError: the answer is not one prediction per row.
    """
    endpoint = session.model(model).endpoint
    runtime = session.client("sagemaker-runtime")
    answers: list[Any] = []
    runs: list[str] = []
    variant, requests = "", 0
    try:
        for body in batches(rows):
            reply = runtime.invoke_endpoint(
                EndpointName=endpoint,
                ContentType="application/json",
                Accept="application/json",
                Body=body,
            )
            answer = json.loads(reply["Body"].read())
            answers += answer["predictions"]
            runs.append(answer.get("model", {}).get("run", ""))
            variant = reply.get("InvokedProductionVariant", "")
            requests += 1
    except ClientError as error:
        raise _explain(error, model, endpoint) from error
    if len(answers) != len(rows):
        raise FailedError(
            f"{endpoint} gave {len(answers)} predictions for {len(rows)} rows.",
            f"headrace logs {model} --endpoint",
        )
    return Predictions(
        rows=answers,
        endpoint=endpoint,
        variant=variant,
        version=served_version(session, endpoint),
        runs=sorted({run for run in runs if run}),
        requests=requests,
    )


def batches(rows: Iterable[Row], limit: int = _REQUEST_BYTES) -> Iterator[bytes]:
    """Yield request bodies that hold all rows in order, each smaller than SageMaker's limit.

    Raises:
        UsageError: one row alone is larger.
    """
    batch: list[bytes] = []
    size = 0
    for row in rows:
        encoded = encode(row).encode()
        if len(encoded) > limit:
            raise UsageError(f"A row has {len(encoded)} bytes; a request may have {limit}.")
        if batch and size + len(encoded) > limit:
            yield _body(batch)
            batch, size = [], 0
        batch.append(encoded)
        size += len(encoded) + 1
    if batch:
        yield _body(batch)


def served_version(session: Session, endpoint: str) -> int | None:
    """Return the package version SageMaker says an endpoint serves, or None without a package."""
    package = served_package(session, endpoint)
    return int(package.rpartition("/")[2]) if package else None


def served_package(session: Session, endpoint: str) -> str | None:
    """Return the ARN of the package an endpoint's configuration names; None: no endpoint."""
    sagemaker = session.client("sagemaker")
    try:
        described = sagemaker.describe_endpoint(EndpointName=endpoint)
    except ClientError as error:
        # SageMaker's way to say that it is not there (waiter EndpointDeleted keys on it).
        if error_code(error) == "ValidationException" and "Could not find" in str(error):
            return None
        raise
    config = sagemaker.describe_endpoint_config(EndpointConfigName=described["EndpointConfigName"])
    model = sagemaker.describe_model(ModelName=config["ProductionVariants"][0]["ModelName"])
    package: str | None = model["PrimaryContainer"].get("ModelPackageName")
    return package


def encode(row: Any) -> str:
    """Return one row, or one prediction, as JSON; NaN, which JSON has not, is null."""
    if isinstance(row, dict):
        row = {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}
    return json.dumps(row, default=_plain, ensure_ascii=False)


def _body(rows: Sequence[bytes]) -> bytes:
    return b'{"instances":[' + b",".join(rows) + b"]}"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime.datetime | datetime.date):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return float(value)
    return str(value)


def _explain(error: ClientError, model: str, endpoint: str) -> Exception:
    original: Exception = error
    code = error_code(error)
    if code == "ModelError":
        said = _unwrapped(error.response.get("OriginalMessage") or str(error))
        return RefusedError(
            f"The container of {endpoint} refused the rows: {said}",
            f"Correct the rows, or look: headrace logs {model} --endpoint",
        )
    if code in {"ValidationError", "ValidationException"} and "not found" in str(error).lower():
        return RefusedError(
            f"Nothing serves '{model}': there is no endpoint {endpoint}.",
            f"Approve a package first: headrace approve {model} --wait",
        )
    return original


def _unwrapped(message: str) -> str:
    """Return what a container says, out of the JSON it may say it in."""
    try:
        return str(json.loads(message)["error"])
    except (ValueError, KeyError, TypeError):
        return message
