"""`runs` and `watch`: what training made of the data, and what goes on now."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from headrace.aws.storage import Location, Storage
from headrace.records import Key, RunRecord, model_partition
from headrace_cli.app import app
from headrace_cli.commands.options import Limit, Model, Timeout
from headrace_cli.console import Console, clock, seconds, styled
from headrace_cli.errors import UsageError
from headrace_cli.exit_codes import ExitCode
from headrace_cli.journey import Moment, between
from headrace_cli.session import Session, command
from headrace_cli.watching import watch as follow

_STAGE_WIDTH = 10


@command(app)
def runs(
    session: Session,
    model: Model,
    run: Annotated[str, typer.Argument(help="Show this run in full.", show_default=False)] = "",
    limit: Limit = 20,
) -> None:
    """List a model's runs, or show one with its evaluation."""
    session.model(model)
    if run:
        _show_run(session, model, run)
        return
    records = session.ledger.query(RunRecord, model_partition(model), "run#")
    newest = sorted(records, key=lambda r: r.started_at, reverse=True)[:limit]
    session.console.document([r.model_dump(mode="json", exclude_none=True) for r in newest])
    columns = ["RUN", "STARTED", "DATASET", "METRIC", ">CANDIDATE", ">CHAMPION", ">BASELINE"]
    session.console.table(
        [*columns, "VERDICT", "PACKAGE", "TIME", "JOB", "WHY"], [_row(each) for each in newest]
    )
    if not newest:
        session.console.say("[dim]next:[/]  headrace drop " + model + " FILES")


@command(app)
def watch(
    session: Session,
    model: Model,
    until: Annotated[
        str, typer.Option(metavar="VERDICT", help="End with it: accepted, better, live, ...")
    ] = "",
    timeout: Timeout = 3600.0,
) -> ExitCode:
    """Follow the newest drop of a model through every stage, until nothing goes on."""
    console = session.console
    session.model(model)
    with console.step(f"watching {model}") as step:
        seen = follow(
            session,
            model,
            timeout=timeout,
            until=(lambda _, seen: any(m.verdict == until for m in seen)) if until else None,
            on_moment=lambda moment: tell_moment(console, moment),
            on_activity=lambda lines: step.update(" | ".join(lines)),
        )
        step.done(f"[dim]{len(seen.moments)} moments[/]")
    console.document({"moments": [asdict(m) for m in seen.moments], "reached": seen.reached})
    if until and not seen.reached:
        console.say(f"[red]{until}[/] did not come, and nothing goes on any more.")
    return ExitCode.OK if seen.reached else ExitCode.NEGATIVE


def tell_moment(console: Console, moment: Moment) -> None:
    """Print one line about something that happened."""
    verdict = f"{styled(moment.verdict)}: " if moment.verdict else ""
    time = clock(moment.at).rpartition(" ")[2]
    console.say(f"[dim]{time}[/] {moment.stage:<{_STAGE_WIDTH}} {verdict}{_safe(moment.text)}")


def _row(run: RunRecord) -> list[str]:
    values = (run.candidate_value, run.champion_value, run.baseline_value)
    return [
        run.run,
        clock(run.started_at),
        run.dataset_version[:12],
        run.metric or "",
        *("" if v is None else f"{v:.4f}" for v in values),
        styled(run.status),
        f"v{run.package_arn.rpartition('/')[2]}" if run.package_arn else "",
        seconds(between(run.started_at, run.ended_at)) if run.ended_at else "",
        seconds(run.job_seconds),
        _safe(run.cause),
    ]


def _show_run(session: Session, model: str, name: str) -> None:
    key = Key(pk=model_partition(model), sk=f"run#{name}")
    run = session.ledger.get(RunRecord, key)
    if run is None:
        raise UsageError(f"'{model}' has no run '{name}'.", f"headrace runs {model}")
    evaluation = _evaluation(session, run)
    console = session.console
    console.document({**run.model_dump(mode="json", exclude_none=True), "evaluation": evaluation})
    console.say(f"[bold]{run.run}[/] {styled(run.status)}")
    for reason in [*run.reasons, *run.notes]:
        console.text(f"  {reason}")
    facts = run.model_dump(mode="json", exclude_none=True, exclude={"run", "reasons", "notes"})
    console.table(["WHAT", "VALUE"], [[k, _safe(str(v))] for k, v in facts.items()])
    if evaluation:
        _show_evaluation(console, evaluation)


def _evaluation(session: Session, run: RunRecord) -> dict[str, Any] | None:
    if not run.evaluation_uri:
        return None
    found = Storage(session.client("s3")).get_json(Location.of(run.evaluation_uri))
    return dict(found)


def _show_evaluation(console: Console, evaluation: dict[str, Any]) -> None:
    baselines = evaluation.get("baselines") or {}
    rivals = {
        "candidate": evaluation.get("candidate"),
        "champion": evaluation.get("champion"),
        "simple baseline": baselines.get("simple"),
        "trivial baseline": baselines.get("trivial"),
    }
    scores = {name: found["metrics"] for name, found in rivals.items() if found}
    console.say()
    console.table(
        ["METRIC", *(f">{name}" for name in scores)],
        [[m, *(_number(s.get(m)) for s in scores.values())] for m in scores["candidate"]],
    )
    slices = evaluation.get("slices") or []
    if slices:
        console.say()
        metric = evaluation["metric"]
        columns = ["SLICE", ">ROWS", f">candidate {metric}", f">champion {metric}"]
        console.table(columns, [_slice(part, metric) for part in slices])


def _slice(part: dict[str, Any], metric: str) -> list[str]:
    champion = part.get("champion") or {}
    return [
        f"{part['column']} = {part['value']}",
        f"{part['rows']:,}",
        _number(part["candidate"].get(metric)),
        _number(champion.get(metric)),
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _safe(text: str) -> str:
    return text.replace("[", r"\[")
