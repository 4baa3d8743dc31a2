"""What the demo shows and remembers: moments as they come, expectations, and the summary."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from headrace_cli.commands.runs import tell_moment
from headrace_cli.console import Console, Step, seconds, styled
from headrace_cli.journey import Leg, Moment


class Chapter(StrEnum):
    """The demo's chapters, in their order."""

    FIRST = "first"
    CHALLENGER = "challenger"
    QUARANTINE = "quarantine"
    FLIPPED = "flipped"
    CANARY = "canary"
    ROLLBACK = "rollback"
    DRIFT = "drift"
    OUTCOMES = "outcomes"


@dataclass(frozen=True)
class Expectation:
    """Something that must be true at this point of the story, whether it is, and the evidence."""

    chapter: str
    text: str
    holds: bool
    evidence: str


@dataclass
class Teller:
    """Tells the story on a console, and keeps the book of what was expected and found."""

    console: Console
    expectations: list[Expectation] = field(default_factory=list)
    facts: dict[str, list[str]] = field(default_factory=dict)
    chapter: str = ""
    _told: set[str] = field(default_factory=set)

    @contextmanager
    def chapter_of(self, name: str, title: str) -> Iterator[Step]:
        """Tell one chapter, live."""
        self.chapter = name
        self.console.say()
        self.console.say(f"[bold]({name}) {title}[/]")
        with self.console.step(f"chapter ({name})", announce=False) as step:
            yield step

    def moment(self, moment: Moment) -> None:
        """Tell what happened, once."""
        if moment.id not in self._told:
            self._told.add(moment.id)
            tell_moment(self.console, moment)

    def expect(self, text: str, holds: bool, evidence: str) -> bool:
        """Note an expectation and what was found; return whether it holds."""
        self.expectations.append(Expectation(self.chapter, text, holds, evidence))
        mark = "[green]✓[/]" if holds else "[bold red]✗[/]"
        self.console.say(f"  {mark} {text}: [dim]{evidence}[/]")
        return holds

    def fact(self, kind: str, text: str) -> None:
        """Note a line of the summary."""
        self.facts.setdefault(kind, []).append(text)

    @property
    def holds(self) -> bool:
        """Whether everything expected was found, and anything was expected at all."""
        return bool(self.expectations) and all(e.holds for e in self.expectations)

    def summarise(self, legs: list[Leg], total: float) -> None:
        """Show what was dropped, trained, compared, approved, deployed, predicted and refused."""
        console = self.console
        console.say()
        console.say("[bold]Summary[/]")
        rows = [
            [kind if position == 0 else "", line]
            for kind, lines in self.facts.items()
            for position, line in enumerate(lines)
        ]
        console.table(["WHAT", "RESULT"], rows)
        console.say()
        columns = ["STAGE", "OF", "VERDICT", ">TOOK", ">OWN COMPUTE", ">BEYOND IT"]
        console.table(columns, [_leg(leg) for leg in legs])
        failed = [e for e in self.expectations if not e.holds]
        console.say()
        for expectation in failed:
            console.say(
                f"[bold red]✗[/] ({expectation.chapter}) {expectation.text}: {expectation.evidence}"
            )
        verdict = "[red]not as expected[/]" if failed else "[green]as expected[/]"
        count = len(self.expectations)
        console.say(
            f"[bold]{count - len(failed)} of {count} expectations hold: {verdict}[/]"
            f"  [dim]{seconds(total)}[/]"
        )


def document(teller: Teller, legs: list[Leg], total: float) -> dict[str, Any]:
    """Return the summary for programs."""
    return {
        "holds": teller.holds,
        "seconds": round(total, 1),
        "facts": teller.facts,
        "expectations": [vars(e) for e in teller.expectations],
        "legs": [{**vars(leg), "overhead_seconds": leg.overhead_seconds} for leg in legs],
    }


def _leg(leg: Leg) -> list[str]:
    times = (leg.seconds, leg.compute_seconds, leg.overhead_seconds)
    return [leg.stage, leg.subject, styled(leg.verdict), *(f"{t:.1f} s" for t in times)]
