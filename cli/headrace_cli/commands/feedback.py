"""`feedback`: what is known of how predictions turned out."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from headrace_cli import feedback as reading
from headrace_cli.app import app
from headrace_cli.commands.options import Model
from headrace_cli.session import Session, command

_COLUMNS = ["DAY", ">PREDICTIONS", ">OUTCOMES", ">SHARE", ">MEDIAN DELAY", ">P90"]
_COLUMNS += [">CONTRADICTED", ">QUARANTINED", ""]


@command(app)
def feedback(
    session: Session,
    model: Model,
    days: Annotated[int, typer.Option(help="Look back this many days.", min=1, max=400)] = 14,
) -> None:
    """Show how many predictions have their outcome, and how long outcomes take."""
    console = session.console
    found = reading.read_feedback(session, model, days)
    since = datetime.now(UTC) - timedelta(days=days)
    refused = reading.quarantined(session, model, since)
    console.document(
        {
            "model": model,
            "days": [{**day._asdict(), "share": day.share} for day in found],
            "quarantined": [
                {"object": each.object_key, "rows": each.quarantined, "reasons": each.reasons}
                for each in refused
            ],
        }
    )
    if not found:
        console.say(f"No prediction of {model} was joined in the last {days} days.")
        console.say(f"[dim]next:[/]  headrace outcomes FILE --model {model}")
        return
    console.table(_COLUMNS, [_row(day) for day in found])
    for each in refused:
        console.say(f"[red]quarantined[/] {each.object_key}")
        for reason in each.reasons:
            console.text(f"  {reason}")


def _row(day: reading.Day) -> list[str]:
    counts: list[Any] = [day.predictions, day.outcomes]
    return [
        day.day,
        *(f"{count:,}" for count in counts),
        "" if day.share is None else f"{day.share:.0%}",
        in_words(day.delay_seconds_median),
        in_words(day.delay_seconds_p90),
        f"{day.contradictions:,}",
        f"{day.quarantined:,}",
        "" if day.complete else "[dim]others may still come[/]",
    ]


def in_words(delay: float | None) -> str:
    """Return a delay as people say it, in the unit that fits."""
    if delay is None:
        return ""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if delay >= size:
            return f"{delay / size:.1f} {unit}"
    return f"{delay:.0f} s"
