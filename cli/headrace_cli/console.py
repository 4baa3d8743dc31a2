"""What is shown: short, aligned text for people, or one JSON document for programs.

On a terminal what goes on is shown live, with durations; elsewhere every step is a plain line.
"""

import json
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from rich.console import Console as RichConsole
from rich.console import RenderableType
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from headrace_cli.errors import CommandError

_UNLIMITED_WIDTH = 1000
GOOD, BAD = "green", "red"
_TONES = {
    "accepted": GOOD,
    "better": GOOD,
    "live": GOOD,
    "healthy": GOOD,
    "trained": GOOD,
    "published": GOOD,
    "Approved": GOOD,
    "ok": GOOD,
    "resumed": GOOD,
    "quarantined": BAD,
    "incomplete": BAD,
    "failed": BAD,
    "refused": BAD,
    "rolled back": BAD,
    "roll back": BAD,
    "both": BAD,
    "paused": BAD,
    "not better": BAD,
    "Rejected": BAD,
    "wrong": BAD,
    "drifted": BAD,
}


def styled(verdict: str) -> str:
    """Return a verdict as markup in its colour."""
    return f"[{_TONES.get(verdict, 'yellow')}]{escape(verdict)}[/]"


def seconds(duration: float | None) -> str:
    """Return a duration for people: `0.34 s`, `12.3 s`, `4 min 05 s`."""
    if duration is None:
        return ""
    if duration < 1:
        return f"{duration:.2f} s"
    if duration < 60:
        return f"{duration:.1f} s"
    minutes, rest = divmod(round(duration), 60)
    return f"{minutes} min {rest:02d} s"


def clock(at: str | None) -> str:
    """Return a time of the ledger as a clock on the wall here shows it."""
    if not at:
        return ""
    return datetime.fromisoformat(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


class Step:
    """Something that goes on; what it says now is shown beside its duration."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.detail = ""
        self.outcome = ""
        self.started = time.monotonic()
        self.spinner = Spinner("dots")

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.started

    def update(self, detail: str) -> None:
        """Say what it is doing now (shown on a terminal only)."""
        self.detail = detail

    def done(self, outcome: str) -> None:
        """Say what came of it, for the line that remains."""
        self.outcome = outcome


class Console:
    """Where a command prints. Nothing but `document` writes to stdout when `as_json`."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        # A file or a pipe has no width to fit into.
        wide = None if sys.stdout.isatty() else _UNLIMITED_WIDTH
        self._out = RichConsole(highlight=False, soft_wrap=True, quiet=as_json, width=wide)
        self._err = RichConsole(highlight=False, soft_wrap=True, stderr=True)
        self._steps: list[Step] = []
        self._lock = threading.RLock()
        self._live: Live | None = None

    @property
    def is_live(self) -> bool:
        """Whether a person watches a terminal."""
        return self._out.is_terminal and not self.as_json

    def say(self, markup: str = "") -> None:
        """Print one line for people."""
        self._out.print(markup)

    def text(self, line: str) -> None:
        """Print one line for people as it is, markup or not (logs, reasons)."""
        self._out.print(line, markup=False)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print an aligned table for people; cells may hold markup, a `>` in front aligns right."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            right = column.startswith(">")
            table.add_column(column.removeprefix(">"), justify="right" if right else "left")
        for row in rows:
            table.add_row(*row)
        self._out.print(table, soft_wrap=False)

    def document(self, content: Any) -> None:
        """Print the command's one JSON document, for programs only."""
        if self.as_json:
            text = json.dumps(content, default=_plain, indent=2, ensure_ascii=False)
            RichConsole(soft_wrap=True).print(text, markup=False, highlight=False)

    def error(self, error: CommandError) -> None:
        """Say what went wrong and what to do next."""
        self.document(error.document())
        self._err.print(f"[bold red]error:[/] {escape(error.message)}")
        if error.hint:
            self._err.print(f"[bold]next:[/]  {escape(error.hint)}")

    def bug(self, error: Exception) -> None:
        """Report an error nobody expected, with its traceback."""
        said = f"{type(error).__name__}: {error}"
        self.document({"error": {"type": "Bug", "message": said, "next": "", "exit_code": 70}})
        self._err.print("".join(traceback.format_exception(error)), markup=False)
        self._err.print("[bold red]error:[/] this is a bug of Headrace; please report the above.")

    @contextmanager
    def step(self, title: str, *, announce: bool = True) -> Iterator[Step]:
        """Show that something goes on, and afterwards what came of it and how long it took.

        Where nothing is live its beginning is a line too, unless another line has said so.
        """
        step = Step(title)
        self._begin(step, announce)
        try:
            yield step
        except BaseException:
            self._end(step)
            self.say(f"[red]✗[/] {title}  [dim]{seconds(step.elapsed)}[/]")
            raise
        self._end(step)
        outcome = f"  {step.outcome}" if step.outcome else ""
        self.say(f"[green]✓[/] {title}{outcome}  [dim]{seconds(step.elapsed)}[/]")

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Leave the terminal as it was, however the command ends."""
        try:
            yield
        finally:
            with self._lock:
                self._steps.clear()
                self._stop()

    def _begin(self, step: Step, announce: bool) -> None:
        with self._lock:
            self._steps.append(step)
            if not self.is_live:
                if announce:
                    self.say(f"· {step.title} …")
            elif self._live is None:
                self._live = Live(
                    console=self._out,
                    get_renderable=self._render,
                    refresh_per_second=8,
                    transient=True,
                )
                self._live.start()

    def _end(self, step: Step) -> None:
        with self._lock:
            self._steps.remove(step)
            if not self._steps:
                self._stop()

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _render(self) -> RenderableType:
        grid = Table.grid(padding=(0, 1))
        for step in list(self._steps):
            line = Text.from_markup(f"{step.title}  [dim]{seconds(step.elapsed)}[/]")
            if step.detail:
                line.append(f"  {step.detail}", style="cyan")
            line.truncate(max(20, self._out.width - 4), overflow="ellipsis")
            grid.add_row(step.spinner, line)
        return grid


def _plain(value: Any) -> Any:
    """Records and mappings as JSON knows them."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)
