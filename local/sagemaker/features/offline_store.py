"""The offline store: rows written to S3 as parquet, in the layout and columns of AWS's.

AWS ("Amazon SageMaker Feature Store offline store data format"): a file holds rows of one hour of
event time, in `year=/month=/day=/hour=`, and is named by its latest event time and 16 random
characters; `write_time`, `api_invocation_time` and `is_deleted` come after the features. A row is
written within 15 minutes there, within seconds here.
"""

from __future__ import annotations

import datetime as dt
import logging
import secrets
import shutil
import string
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local.sagemaker.context import Context
from local.sagemaker.errors import ServiceError
from local.sagemaker.features.record_store import RecordStore
from local.sagemaker.store import Record
from local.sagemaker.transfer import S3, Location, TransferError

_BATCH = 50_000  # rows taken at a time: the memory a delivery may take
_LAST_DELIVERY = 5.0  # seconds that a stop spends on it; the rest waits for the next start
_TYPES = {"String": "VARCHAR", "Integral": "BIGINT", "Fractional": "DOUBLE"}
_ADDED = {
    "write_time": "TIMESTAMP",
    "api_invocation_time": "TIMESTAMP",
    "is_deleted": "BOOLEAN",
}
_ALPHABET = string.ascii_letters + string.digits
logger = logging.getLogger(__name__)


class OfflineStore:
    """Delivers rows in the background.

    `group` gives the record of the feature group of a folder, None if it is gone; `settle` is told
    folder and reason ("" for none) of every delivery. A file's name is settled before it is
    written, so that a delivery cut short by a kill is repeated under the same name.
    """

    def __init__(
        self,
        context: Context,
        records: RecordStore,
        group: Callable[[str], Record | None],
        settle: Callable[[str, str], None],
    ) -> None:
        self._context = context
        self._records = records
        self._group = group
        self._settle = settle
        self._delivery = threading.Lock()
        self._closing = threading.Event()
        self._scratch = context.state / "offline-store"
        self._database: Any = None

    def start(self, each_time: Callable[[], None]) -> None:
        """Begin to deliver every few seconds, after what else is to be done each time."""
        shutil.rmtree(self._scratch, ignore_errors=True)

        def run() -> None:
            while not self._closing.wait(self._context.settings.offline_interval):
                try:
                    each_time()
                    self.deliver_all()
                except Exception:  # a thread's boundary: the next delivery goes on
                    logger.exception("a delivery to the offline store failed")

        threading.Thread(target=run, name="sagemaker-offline-store", daemon=True).start()

    def close(self) -> None:
        """Deliver what is left, as far as the time allows."""
        self._closing.set()
        try:
            self.deliver_all(time.monotonic() + _LAST_DELIVERY)
        except Exception:  # a stop's boundary: rows stay for the next start, and the rest closes
            logger.exception("the last delivery to the offline store failed")

    def deliver_all(self, deadline: float = float("inf")) -> None:
        """Deliver the rows of every group."""
        for folder in self._records.pending():
            if time.monotonic() < deadline:
                self._settle(folder, self.deliver(folder, deadline))

    def deliver(self, folder: str, deadline: float = float("inf")) -> str:
        """Deliver a group's rows; return why it could not be done, "" if it was."""
        with self._delivery:
            group = self._group(folder)
            if group is None:
                self._records.discard(folder)
                return ""
            try:
                role = self._context.assume(group["RoleArn"], group["FeatureGroupName"])
                s3 = S3(self._context.cloud, role)
                more = True
                while more and time.monotonic() < deadline:
                    more = self._take(folder)
                    for file in self._records.files(folder):
                        self._write(group, folder, file, s3)
            except (ServiceError, TransferError) as error:
                return str(error)[:1024]
        return ""

    def _take(self, folder: str) -> bool:
        """Assign rows to files; return whether there may be more of them.

        Rows that come while files are written wait for the next time, for files worth the name.
        """
        hours: dict[str, list[tuple[int, float]]] = defaultdict(list)
        taken = self._records.unassigned(folder, _BATCH)
        for number, event in taken:
            hours[_moment(event).strftime("year=%Y/month=%m/day=%d/hour=%H")].append(
                (number, event)
            )
        files = {}
        for hour, rows in hours.items():
            latest = _moment(max(event for _, event in rows))
            suffix = "".join(secrets.choice(_ALPHABET) for _ in range(16))
            files[f"{hour}/{latest:%Y%m%dT%H%M%S}Z_{suffix}.parquet"] = [row[0] for row in rows]
        self._records.assign(files)
        return len(taken) == _BATCH

    def _write(self, group: Record, folder: str, file: str, s3: S3) -> None:
        target = Location.of(group["OfflineStoreConfig"]["S3StorageConfig"]["ResolvedOutputS3Uri"])
        self._scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._scratch) as scratch:
            source, parquet = Path(scratch, "rows.json"), Path(scratch, "rows.parquet")
            with source.open("w") as lines:
                lines.writelines(f"{row}\n" for row in self._records.rows(folder, file))
            self._convert(columns(group), source, parquet)
            s3.upload_file(parquet, target / file)
        self._records.delivered(folder, file)

    def _convert(self, types: dict[str, str], source: Path, parquet: Path) -> None:
        """Write JSON rows as parquet; values are text, converted to their columns' types."""
        if self._database is None:
            import duckdb  # late: most who start a local AWS have no offline store

            self._database = duckdb.connect(
                config={"threads": "1", "autoinstall_known_extensions": "false"}
            )
        given = {name: kind for name, kind in types.items() if name != "write_time"}
        declared = ", ".join(f"'{name}': '{kind}'" for name, kind in given.items())
        shown = ", ".join(
            f'$now::TIMESTAMP AS "{name}"' if name == "write_time" else f'"{name}"'
            for name in types
        )
        target = str(parquet).replace("'", "''")
        rows = f"read_json($source, format = 'newline_delimited', columns = {{{declared}}})"
        self._database.execute(
            f"COPY (SELECT {shown} FROM {rows}) TO '{target}' (FORMAT parquet)",  # noqa: S608 - feature names are letters, digits, "-" and "_"
            {"source": str(source), "now": timestamp(time.time())},
        )


def columns(group: Record) -> dict[str, str]:
    """Return name and DuckDB type of every column of a group's files."""
    features = {
        feature["FeatureName"]: _TYPES[feature["FeatureType"]]
        + ("[]" if "CollectionType" in feature else "")
        for feature in group["FeatureDefinitions"]
    }
    return {**features, **_ADDED}


def timestamp(epoch: float) -> str:
    """Return a time as the added columns hold it: UTC, milliseconds."""
    return _moment(epoch).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _moment(epoch: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(epoch, dt.UTC)
