"""Pipe mode: a channel's objects streamed through a FIFO `<channel>_<epoch>` per epoch.

Sources: "How Amazon SageMaker AI Provides Training Information" (input modes), API_Channel
(compression, record wrapper, shuffle), "Augmented Manifest File Format for Pipe Mode Training",
and the RecordIO format of MXNet.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

from local.sagemaker.jobs import inputs
from local.sagemaker.jobs.hosts import Host
from local.sagemaker.store import Record
from local.sagemaker.transfer import S3, Location, TransferError

_MAGIC = 0xCED7230A
_RECORD = 2**29  # bytes that a record's 29-bit length can tell
_CHUNK = 64 * 1024
_LOOK = 0.02  # seconds between two looks whether anyone opened the pipe
_TURN = 0.2  # seconds to wait for room in the pipe, at most, before looking whether to end
logger = logging.getLogger(__name__)


class Pipe:
    """Feeds one channel of one host until it is closed."""

    def __init__(self, s3: S3, channel: Record, host: Host, folder: Path) -> None:
        self._s3, self._channel, self._host, self._folder = s3, channel, host, folder
        self._closed = threading.Event()
        self.failure: TransferError | None = None
        """Why the stream ended before its time."""
        self._make(0)
        self._thread = threading.Thread(target=self._run, name="sagemaker-pipe", daemon=True)

    def start(self) -> None:
        """Begin to feed the pipe."""
        self._thread.start()

    def close(self) -> None:
        """End; a reader sees the end of the stream."""
        self._closed.set()
        self._thread.join()

    def _make(self, epoch: int) -> Path:
        fifo = self._folder / f"{self._channel['ChannelName']}_{epoch}"
        if not fifo.exists():
            os.mkfifo(fifo, 0o644)
        return fifo

    def _run(self) -> None:
        epoch = 0
        try:
            while not self._closed.is_set():
                fifo = self._make(epoch)
                self._make(epoch + 1)  # so that a quick reader finds the next epoch's
                descriptor = self._open(fifo)
                if descriptor is None:
                    return
                try:
                    self._feed(descriptor, epoch)
                finally:
                    os.close(descriptor)
                epoch += 1
        except TransferError as error:
            self.failure = error

    def _open(self, fifo: Path) -> int | None:
        """Open a pipe once someone reads it; None if the channel is closed first."""
        while not self._closed.wait(_LOOK):
            try:
                return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                if error.errno != errno.ENXIO:  # nobody reads it yet
                    raise TransferError(f"{fifo.name}: {error.strerror}") from error
        return None

    def _feed(self, descriptor: int, epoch: int) -> None:
        """Write an epoch, unless the reader turns away."""
        for chunk in self.stream(epoch):
            left = memoryview(chunk)
            while left:
                if self._closed.is_set():
                    return
                _, ready, _ = select.select([], [descriptor], [], _TURN)
                if not ready:
                    continue
                try:
                    left = left[os.write(descriptor, left[:_CHUNK]) :]
                except BrokenPipeError:
                    return
                except BlockingIOError:
                    continue

    def stream(self, epoch: int) -> Iterator[bytes]:
        """Yield an epoch's bytes. Raises TransferError."""
        source = self._channel["DataSource"]["S3DataSource"]
        shuffle = self._channel.get("ShuffleConfig")
        seed = shuffle["Seed"] + epoch if shuffle else None
        parts: Iterator[Location | bytes]
        if source["S3DataType"] == "AugmentedManifestFile":
            parts = inputs.augmented(self._s3, source, self._host, seed)
        else:
            listed = inputs.objects(self._s3, source, self._host, seed)
            parts = iter([location for _, location in listed])
        wrapped = self._channel.get("RecordWrapperType", "None") == "RecordIO"
        for part in parts:
            chunks = iter([part]) if isinstance(part, bytes) else self._object(part)
            yield from ([record(b"".join(chunks))] if wrapped else chunks)

    def _object(self, location: Location) -> Iterator[bytes]:
        chunks = self._s3.stream(location, _CHUNK)
        return _unzipped(chunks) if self._channel.get("CompressionType") == "Gzip" else chunks


def record(content: bytes) -> bytes:
    """Return content as one RecordIO record. Raises TransferError if it is too long for one."""
    if len(content) >= _RECORD:
        raise TransferError(f"An object of {len(content)} bytes does not fit a RecordIO record")
    padding = b"\0" * (-len(content) % 4)
    return struct.pack("<II", _MAGIC, len(content)) + content + padding


def _unzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what a gzip stream holds, of one member or several. Raises TransferError."""
    inflate = zlib.decompressobj(wbits=31)
    try:
        for chunk in chunks:
            rest = chunk
            while rest:
                yield inflate.decompress(rest)
                rest = inflate.unused_data
                if inflate.eof:
                    inflate = zlib.decompressobj(wbits=31)
    except zlib.error as error:
        raise TransferError(f"The data are not gzip: {error}") from error
