"""Plays the story on a local AWS of its own, and takes it down however the story ends."""

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

from headrace_cli import local_aws
from headrace_cli.commands.environment import bring_up
from headrace_cli.demo import rollouts, watching
from headrace_cli.demo.chapters import Play
from headrace_cli.demo.data import MODEL, prepare
from headrace_cli.demo.telling import Chapter, Teller, document
from headrace_cli.exit_codes import ExitCode
from headrace_cli.journey import Leg, legs, read_journey
from headrace_cli.session import Session

_IMAGE_SECONDS = 120.0

CHAPTERS: dict[Chapter, Callable[[Play], None]] = {
    Chapter.FIRST: Play.first_drop,
    Chapter.CHALLENGER: Play.second_drop,
    Chapter.QUARANTINE: Play.damaged_drop,
    Chapter.FLIPPED: Play.flipped_drop,
    Chapter.CANARY: rollouts.canary,
    Chapter.ROLLBACK: rollouts.rollback,
    Chapter.DRIFT: watching.drift,
    Chapter.OUTCOMES: watching.late_outcomes,
}


def play(session: Session, *, keep: bool, chapter: Chapter | None = None) -> ExitCode:
    """Play all chapters, or one; OK only if all was as expected and nothing is left running."""
    teller = Teller(session.console)
    began = time.monotonic()
    found: list[Leg] = []
    with TemporaryDirectory(prefix="headrace-demo-") as folder, _stage(session, teller, keep=keep):
        with ThreadPoolExecutor(max_workers=1) as pool:
            # The drops are written while sam builds and deploys.
            preparing = pool.submit(prepare, Path(folder))
            bring_up(session, _IMAGE_SECONDS)
            story = preparing.result()
        performance = Play(session, teller, story)
        if chapter not in (None, Chapter.FIRST):
            performance.begin()
        for name, perform in CHAPTERS.items():
            if chapter in (None, name):
                perform(performance)
        found = legs(session, read_journey(session, MODEL))
    total = time.monotonic() - began
    teller.summarise(found, total)
    session.console.document(document(teller, found, total))
    return ExitCode.OK if teller.holds else ExitCode.NEGATIVE


@contextmanager
def _stage(session: Session, teller: Teller, *, keep: bool) -> Iterator[None]:
    """Begin on an empty stage, and leave nothing running: not after Ctrl-C or SIGTERM either."""
    environment = session.environment
    local_aws.halt(environment, erase=True)
    handlers = {s: signal.signal(s, _interrupt) for s in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    except KeyboardInterrupt:
        keep = False
        raise
    finally:
        handlers[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        try:
            if keep and environment.local_aws():
                session.console.say(
                    "\nLeft up: headrace status --env demo; headrace down --env demo"
                )
            else:
                _clear(session, teller)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _clear(session: Session, teller: Teller) -> None:
    session.console.say()
    with session.console.step("taking everything down") as step:
        stopped = local_aws.halt(session.environment, erase=True)
        step.done(f"{stopped.processes} processes ended")
    teller.chapter = "end"
    left = ", ".join(stopped.killed)
    teller.expect("nothing is left running", not stopped.killed, left or "no process remains")


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)
