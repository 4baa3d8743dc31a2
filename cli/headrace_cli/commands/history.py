"""`history`: what happened to an endpoint, told as a story."""

from dataclasses import asdict
from typing import Annotated

import typer

from headrace.records import ModelRecord
from headrace_cli.app import app
from headrace_cli.commands.options import Limit
from headrace_cli.console import Console, clock, styled
from headrace_cli.errors import UsageError
from headrace_cli.journey import Journey, Moment, moments, read_journey
from headrace_cli.session import Session, command

# What changes, or may change, what an endpoint serves.
_STAGES = ("deployment", "recovery", "retraining", "pause")


@command(app)
def history(
    session: Session,
    endpoint: Annotated[
        str, typer.Argument(help="Name of the endpoint, or of its model.", show_default=False)
    ],
    limit: Limit = 50,
) -> None:
    """Tell what an endpoint served, who changed it, when and why."""
    models = session.ledger.query(ModelRecord, "models")
    model = next((m for m in models if endpoint in (m.endpoint, m.model)), None)
    if model is None:
        raise UsageError(f"No model has an endpoint '{endpoint}'.", "headrace status")
    journey = read_journey(session, model.model)
    session.console.document([asdict(moment) for moment in _of_endpoint(journey)[-limit:]])
    tell_history(session.console, journey, limit)


def tell_history(console: Console, journey: Journey, limit: int = 50) -> None:
    """Tell the story of a model's endpoint, and what came of it."""
    found, live = _of_endpoint(journey)[-limit:], journey.endpoint
    endpoint = journey.model.endpoint
    for moment in found:
        console.say(f"[dim]{clock(moment.at)}[/] {moment.stage:<10} {styled(moment.verdict)}")
        console.text(f"  {moment.text}")
    if not found:
        console.say(f"Nothing has happened to {endpoint} yet.")
    elif live and live.package_version:
        console.say(f"[bold]{endpoint}[/] serves v{live.package_version}")
        if live.paused:
            console.say(f"[yellow]paused[/] {live.paused}")
        if live.disagreement:
            console.say(f"[red]disagrees[/] {live.disagreement}")


def _of_endpoint(journey: Journey) -> list[Moment]:
    return [moment for moment in moments(journey) if moment.stage in _STAGES]
