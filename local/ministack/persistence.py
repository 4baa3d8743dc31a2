"""State that survives: periodic checkpoints beside the event loop, and pruned history.

Not an AWS promise but ours: a restart finds everything, a SIGKILL loses seconds. Stock MiniStack
saves at an orderly end only, on its event loop, and keeps every execution's history for ever. A
forked child writes: it sees memory as it was at one moment and takes none of the server's time.
"""

import contextlib
import hashlib
import json
import logging
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from ministack import app
from ministack.core import persistence
from ministack.services import stepfunctions as sfn

from local.ministack import guard, instance
from local.settings import Settings

_log = logging.getLogger(__name__)
# A child that hangs (it inherited a lock that another thread held) is given up; the next one works.
_CHILD_SECONDS = 60
_BLOB_BYTES = 64 * 1024
_referenced: set[str] = set()


def install() -> None:
    """Check the internals that saving relies on; keep large contents in files of their own."""
    guard.replace(persistence, "_json_default", "obj", _encode)
    guard.replace(persistence, "_json_object_hook", "obj", _decode)
    guard.expect(
        {"_json_default", "_state_format_version", "STATE_DIR"} <= set(vars(persistence)),
        "core.persistence has other helpers",
    )
    guard.expect(callable(app._build_persistence_save_dict), "app._build_persistence_save_dict")


def save(folder: Path) -> list[str]:
    """Write the state of every service that differs from its file; returns their names."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for service, get_state in app._build_persistence_save_dict().items():
        state = get_state()
        if state is None:
            continue
        version = persistence._state_format_version(service)
        text = json.dumps(
            {"__ministack_format__": version, "payload": state}, default=persistence._json_default
        )
        path = folder / f"{service}.json"
        if not path.exists() or _digest(path.read_text()) != _digest(text):
            temporary = path.with_suffix(f".{os.getpid()}")
            temporary.write_text(text)
            temporary.replace(path)
            written.append(service)
    return written


def _encode(value: Any) -> Any:
    """Layers and images apart from the rest: they never change, the rest does all the time."""
    if not isinstance(value, bytes) or len(value) < _BLOB_BYTES:
        return guard.stock(_encode)(value)
    name = hashlib.blake2b(value, digest_size=20).hexdigest()
    _referenced.add(name)
    path = _blobs() / name
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(value)
        temporary.replace(path)
    return {"__blob__": name}


def _blobs() -> Path:
    return Path(persistence.STATE_DIR) / "blobs"


def _decode(value: dict[str, Any]) -> Any:
    if "__blob__" in value:
        return (_blobs() / value["__blob__"]).read_bytes()
    return guard.stock(_decode)(value)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="surrogatepass")).digest()


class Checkpoints:
    """Saves every `checkpoint_seconds` while there is activity."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.state / "services"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="checkpoints", daemon=True)

    def start(self) -> None:
        """Begin, from a thread of our own."""
        self._thread.start()

    def close(self) -> None:
        """End the running checkpoint and save a last time."""
        self._ended.set()
        self._thread.join()
        prune(self._settings.finished_executions)
        _referenced.clear()
        save(self._folder)
        for blob in _blobs().glob("*"):
            if blob.name not in _referenced:
                blob.unlink()

    def _loop(self) -> None:
        while not self._ended.wait(self._settings.checkpoint_seconds):
            if instance.activity.is_set():
                instance.activity.clear()
                prune(self._settings.finished_executions)
                if not self._save_in_child():
                    instance.activity.set()

    def _save_in_child(self) -> bool:
        child = os.fork()
        if child == 0:
            self._be_child()
        deadline = time.monotonic() + _CHILD_SECONDS
        # At the end nobody waits for a child: a last save follows.
        while time.monotonic() < deadline and not self._ended.is_set():
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status) == 0
            time.sleep(0.05)
        if not self._ended.is_set():
            _log.warning("checkpoint given up after %d s", _CHILD_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return False

    def _be_child(self) -> None:
        """Write and end, never returning to the server's code; holds no sockets."""
        code = 1
        try:
            for name in (signal.SIGTERM, signal.SIGINT):
                signal.signal(name, signal.SIG_DFL)
            os.closerange(3, 65536)
            logging.disable()
            save(self._folder)
            code = 0
        finally:
            os._exit(code)


def prune(finished: int) -> None:
    """Keep the history of the newest `finished` executions and the records of ten times as many.

    AWS keeps 90 days ("Quotas"); a local history of 2,000 executions is over 100 MB.
    """
    ended = [each for each in list(sfn._executions.all_values()) if each["status"] != "RUNNING"]
    if len(ended) <= finished:
        return
    ended.sort(key=lambda each: str(each.get("stopDate") or each["startDate"]), reverse=True)
    for execution in ended[finished:]:
        del execution["events"][1:]
    for execution in ended[10 * finished :]:
        sfn._executions.pop(execution["executionArn"], None)
