"""Asks the endpoint what it decides by: contributions to a sample of the predictions it made."""

import csv
import io
import json
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as UnreachableError

from headrace.aws.storage import Location, Storage
from headrace.monitoring.baseline import Attributions
from headrace.monitoring.layout import OWN_REQUESTS, input_column
from headrace.names import digest
from headrace_profiling.attribution import global_attributions
from headrace_profiling.engine import Engine, identifier

EXPLAIN = "headrace-explain"
"""The custom attribute that asks Headrace's images for contributions beside predictions."""
_PATIENCE_SECONDS = 90.0  # of JudgeWindow's 300: a report is worth more than all its rows explained
_BATCH_ROWS = 50  # XGBoost explains a row in milliseconds; an answer may take 60 s at most
_MOST_PARTS = 8
_MOST_BYTES = 128 << 20  # of parts, in the function's storage


def explain_sample(
    parts: Sequence[str],
    columns: Sequence[str],
    rows: int,
    endpoint: str,
    storage: Storage,
    engine: Engine,
    runtime: Any,
    patience: float = _PATIENCE_SECONDS,
) -> Attributions | str:
    """Return the mean contributions to a sample of a window's predictions, or why there are none.

    `columns` are the inputs the model takes. The sample is the same whenever it is drawn; of a slow
    endpoint it is what was explained in good time.

    Raises:
        ClientError: the endpoint may not be asked, which is a fault of ours.
    """
    sent, sample = _sample(parts, columns, rows, storage, engine)
    if not sample:
        return "no prediction is kept that could be explained"
    found: list[dict[str, float]] = []
    began = time.monotonic()
    for start in range(0, len(sample), _BATCH_ROWS):
        if found and time.monotonic() - began > patience:
            break
        batch = sample[start : start + _BATCH_ROWS]
        try:
            found += _ask(sent, batch, endpoint, runtime)
        except runtime.exceptions.ModelError as error:
            return f"the endpoint does not explain its predictions: {error}"
        except ClientError as error:
            if "AccessDenied" in error.response["Error"]["Code"]:
                raise
            return f"the endpoint cannot be asked now: {error}"
        except (HTTPClientError, UnreachableError) as error:
            return f"the endpoint gave no explanation in time: {error}"
        except (ValueError, KeyError, TypeError) as error:
            return f"the endpoint's explanations cannot be read: {error!r}"
    names = list(found[0])
    values = [[each[name] for name in names] for each in found]
    return Attributions(rows=len(found), features=global_attributions(values, names))


def _ask(
    columns: Sequence[str], rows: Sequence[Sequence[str | None]], endpoint: str, runtime: Any
) -> list[dict[str, float]]:
    body = io.StringIO()
    writer = csv.writer(body, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    content = body.getvalue()
    reply = runtime.invoke_endpoint(
        EndpointName=endpoint,
        ContentType="text/csv; header=present",
        Accept="application/json",
        CustomAttributes=EXPLAIN,
        # So that captured traffic can be told from these requests.
        InferenceId=f"{OWN_REQUESTS}explain-{digest(endpoint, content, length=24)}",
        Body=content.encode(),
    )
    predictions = json.loads(reply["Body"].read())["predictions"]
    return [dict(each["contributions"]) for each in predictions]


def _sample(
    parts: Sequence[str], columns: Sequence[str], rows: int, storage: Storage, engine: Engine
) -> tuple[list[str], list[tuple[str | None, ...]]]:
    """Read rows, and which columns they have, of parts that lie evenly over the window."""
    step = max(1, len(parts) // _MOST_PARTS)
    with TemporaryDirectory() as folder:
        files, room = [], _MOST_BYTES
        for number, part in enumerate(parts[::step][:_MOST_PARTS]):
            place = Location.of(part)
            size = storage.head(place)["ContentLength"]
            if size <= room:
                room -= size
                files.append(Path(folder, f"{number}.parquet"))
                storage.download(place, files[-1])
        if not files:
            return [], []
        with engine.session() as connection:
            kept = connection.read_parquet([str(file) for file in files], union_by_name=True)
            sent = [name for name in columns if input_column(name) in kept.columns]
            wanted = ", ".join(identifier(input_column(name)) for name in sent)
            return sent, kept.order("hash(id, row)").limit(rows).project(wanted).fetchall()
