"""The process: environment, lock, socket, server, checkpoints, and an orderly end."""

import asyncio
import contextlib
import dataclasses
import faulthandler
import fcntl
import json
import logging
import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from logging.handlers import RotatingFileHandler
from pathlib import Path

from local.settings import Settings, StateInUseError, write_private

_log = logging.getLogger(__name__)
_THREADS = 64
# A stop that takes longer leaves the stacks of all threads in logs/stop.log.
_SLOW_STOP = 20.0


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises `StateInUseError` when the folder or port is taken."""
    with _locked(settings.state), _listening(settings.port) as listener:
        settings = dataclasses.replace(settings, port=listener.getsockname()[1])
        _prepare(settings)
        try:
            asyncio.run(_serve(settings, listener))
        finally:
            _clear(settings)


async def _serve(settings: Settings, listener: socket.socket) -> None:
    # MiniStack reads its environment while it is imported.
    from hypercorn.config import Config

    from local.ministack.listener import Listener
    from local.ministack.server import Server

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    # Invocations wait in these threads for their turn; asyncio's default is cores + 4.
    loop.set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="request"))
    server = Server(settings, on_ready=lambda: _announce(settings))
    config = Config()
    config.keep_alive_timeout = 75
    config.graceful_timeout = 1
    config.errorlog = logging.getLogger("hypercorn.error")

    async def until_stopped() -> None:
        await stop.wait()
        stacks = (settings.state / "logs" / "stop.log").open("w")
        faulthandler.dump_traceback_later(_SLOW_STOP, repeat=True, file=stacks)
        # Not in the executor, whose threads may all be taken.
        await loop.run_in_executor(ThreadPoolExecutor(1), server.wind_down)

    try:
        await Listener(server, config, server.front).serve(listener, until_stopped)
    finally:
        await loop.run_in_executor(ThreadPoolExecutor(1), server.close)
    # All is saved. A thread that still waits (for a callback, say) must not hold the end up.
    _clear(settings)
    logging.shutdown()
    os._exit(0)


def _clear(settings: Settings) -> None:
    _ready_file(settings).unlink(missing_ok=True)
    shutil.rmtree(settings.scratch, ignore_errors=True)


def _ready_file(settings: Settings) -> Path:
    return settings.state / "local-aws.json"


def _announce(settings: Settings) -> None:
    endpoint = f"http://127.0.0.1:{settings.port}"
    facts = {
        "endpoint_url": endpoint,
        "port": settings.port,
        "pid": os.getpid(),
        "region": settings.region,
        "account_id": settings.account_id,
        "access_key_id": settings.access_key_id,
        "secret_access_key": settings.secret_access_key,
    }
    write_private(_ready_file(settings), json.dumps(facts, indent=2))
    _log.info("ready on %s", endpoint)
    sys.stderr.write(f"AWS on loopback: {endpoint} (state in {settings.state})\n")


@contextlib.contextmanager
def _locked(state: Path) -> Iterator[None]:
    """Own the state folder; the lock goes with the process, however it ends."""
    path = state / "local-aws.pid"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise StateInUseError(
                f"{state} is served by process {file.read().strip()}; stop it first, or choose "
                "another --state"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
        file.truncate(0)


@contextlib.contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    with socket.socket() as listener:
        # A restart may take the port again while old connections linger.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen(1024)
        except OSError as error:
            raise StateInUseError(
                f"Port {port} is taken ({error.strerror}); choose another --port"
            ) from None
        yield listener


def _prepare(settings: Settings) -> None:
    """Folders, logging, and the environment that MiniStack reads when it is imported."""
    (settings.state / "local-aws.json").unlink(missing_ok=True)
    shutil.rmtree(settings.scratch, ignore_errors=True)
    for folder in (settings.scratch, settings.cache, settings.state / "logs"):
        folder.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(
        settings.state / "logs" / "local-aws.log", maxBytes=10_000_000, backupCount=3
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s [%(name)s] %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    threading.excepthook = lambda crash: _log.error(
        "thread %s ended",
        crash.thread,
        exc_info=crash.exc_value,
    )
    for name in [name for name in os.environ if name.startswith(("AWS_", "LAMBDA_", "MINISTACK_"))]:
        del os.environ[name]
    os.environ.update(
        AUTH="true",
        AWS_ACCESS_KEY_ID=settings.access_key_id,
        AWS_SECRET_ACCESS_KEY=settings.secret_access_key,
        AWS_DEFAULT_REGION=settings.region,
        GATEWAY_PORT=str(settings.port),
        BIND_HOST="127.0.0.1",
        MINISTACK_REGION=settings.region,
        MINISTACK_ACCOUNT_ID=settings.account_id,
        IOT_MTLS_ENABLED="0",
        SFTP_ENABLED="0",
        DOCKER_HOST="unix:///nonexistent",
        LAMBDA_EXECUTOR="local",
        LAMBDA_ACCOUNT_CONCURRENCY="0",
        PERSIST_STATE="1",
        S3_PERSIST="1",
        STATE_DIR=str(settings.state / "services"),
        S3_DATA_DIR=str(settings.state / "s3"),
        TMPDIR=str(settings.scratch),
    )
