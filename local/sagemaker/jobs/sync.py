"""A folder of a running container kept in step with S3: checkpoints, continuous outputs."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import TypeAlias

from local.sagemaker.transfer import S3, Location, TransferError, regular_files

Stamp: TypeAlias = tuple[int, int]
logger = logging.getLogger(__name__)


class FolderSync:
    """Uploads the files that changed, while the container runs and once more at its end.

    A file is taken when it was the same in two looks, so that one being written is left alone;
    the last look takes everything. Files that vanish stay in S3.
    """

    def __init__(self, s3: S3, folder: Path, location: Location, interval: float) -> None:
        self._s3, self._folder, self._location = s3, folder, location
        self._interval = interval
        self._uploaded = self._look()
        self._seen = dict(self._uploaded)
        self._ended = threading.Event()
        self._failed = False
        self._thread = threading.Thread(target=self._run, name="sagemaker-sync", daemon=True)

    def start(self) -> None:
        """Begin; what the folder holds already is taken to be in S3."""
        self._thread.start()

    def stop(self) -> None:
        """Upload nothing more."""
        self._ended.set()
        self._thread.join()

    def finish(self) -> None:
        """Upload what is left, and end. Raises TransferError."""
        self.stop()
        self._seen = self._look()
        self._upload()

    def _run(self) -> None:
        while not self._ended.wait(self._interval):
            before, self._seen = self._seen, self._look()
            try:
                self._upload(before)
                self._failed = False
            except TransferError as error:
                if not self._failed:  # told once; the last upload fails the job
                    logger.warning("%s is not in step with S3: %s", self._location, error)
                self._failed = True

    def _upload(self, before: dict[Path, Stamp] | None = None) -> None:
        for file, stamp in self._seen.items():
            settled = before is None or before.get(file) == stamp
            if not settled or self._uploaded.get(file) == stamp:
                continue
            try:
                self._s3.upload_file(
                    file, self._location / file.relative_to(self._folder).as_posix()
                )
            except FileNotFoundError:
                continue  # it went meanwhile
            self._uploaded[file] = stamp

    def _look(self) -> dict[Path, Stamp]:
        found = {}
        for file in regular_files(self._folder):
            try:
                state = file.stat()
            except FileNotFoundError:
                continue
            found[file] = (state.st_mtime_ns, state.st_size)
        return found


def finish(syncs: list[FolderSync]) -> TransferError | None:
    """Upload what is left of each; return the first failure."""
    failures = []
    for sync in syncs:
        try:
            sync.finish()
        except TransferError as error:
            failures.append(error)
    return failures[0] if failures else None
