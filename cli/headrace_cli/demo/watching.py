"""What happens after a model is live: the market moves, and outcomes come late."""

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from headrace.monitoring.layout import Slot
from headrace.monitoring.report import Monitor, MonitorReport
from headrace.records import OutcomesRecord, RecoveryRecord, RunRecord
from headrace_cli import feedback, inference, monitoring, outcomes, reports
from headrace_cli.demo.chapters import PATIENCE, Play
from headrace_cli.demo.data import LABEL, MODEL, project, read_known, without_label
from headrace_cli.demo.traffic import live_traffic
from headrace_cli.errors import FailedError
from headrace_cli.inference import Row
from headrace_cli.journey import numbers, read_journey
from headrace_cli.waiting import wait_for

_SLOT = 10  # seconds, as the project says for a laptop
# Windows of seconds, training on the newest drop alone, and only when drift asks for it.
_WATCHED = {
    "model.yaml": [
        ("  complete: manifest", "  window: 1\n  complete: manifest"),
        ("window: 10m, quality: {window: 10m", "window: 30s, quality: {window: 10s"),
        ("    monitoring:", "    retraining: {rows: null, cooldown: 10s}\n    monitoring:"),
    ]
}
_ASKED = 2000
_BATCH = 200
_FIRST_OUTCOMES = 0.6


def drift(play: Play) -> None:
    """(g) What customers ask moves away from what the model learnt, and the loop closes."""
    with play.teller.chapter_of("g", "the market moves: drift, and a retrain with its reason") as s:
        _watch(play)
        known = len(read_journey(play.session, MODEL).runs)
        drop = play.send("fifth", s.update)
        s.update("customers ask about the cars of July 2019")
        asked = read_known(play.story.moved)[:_ASKED]
        _ask(play, asked)
        moved = _monitor(play, "feature-drift")
        worst = moved.columns[0] if moved.columns else None
        play.expect(
            "monitoring sees that the market moved",
            moved.verdict == "drifted" and worst is not None and worst.name == "car_value",
            _first(moved.reasons) or moved.verdict,
        )
        run = _retrained(play, known)
        play.expect(
            "its alarm led to one run, for a stated reason",
            "car_value" in run.cause,
            f"{run.run}: {run.cause}",
        )
        play.expect(
            "the run learnt from the drop that had waited for a reason",
            run.dataset_versions == [drop.dataset_version],
            f"{drop.rows or 0:,} rows of {drop.drop}",
        )
        play.expect("the retrained model is better", run.status == "better", numbers(run))
        runtime = play.session.environment.client("sagemaker-runtime", attempts=1)
        endpoint = play.session.model(MODEL).endpoint
        with live_traffic(runtime, endpoint, without_label(asked)) as traffic:
            version, _ = play.approve(run, s.update)
        play.expect(
            "no request failed while it took over",
            traffic.failed == 0 < traffic.requests,
            f"{traffic.requests:,} requests",
        )
        _ask(play, asked)
        after = _monitor(play, "feature-drift")
        play.expect(
            "for the new version, nothing has drifted",
            after.verdict == "healthy",
            _first(after.reasons) or f"{after.rows:,} rows",
        )
        play.teller.fact("retrained", f"v{version}: {run.cause}")


def late_outcomes(play: Play) -> None:
    """(h) How predictions turned out is heard later, and bit by bit."""
    with play.teller.chapter_of("h", "outcomes come late, and the window closes") as step:
        _watch(play)
        known = read_known(play.story.later)[: _ASKED // 2]
        step.update("customers ask")
        slot = _ask_in_one_slot(play, known)
        first = known[: int(len(known) * _FIRST_OUTCOMES)]
        told = _tell_outcomes(play, "first", [_outcome(row) for row in first])
        play.expect(
            "the outcomes that came first are taken", told.rows == len(first), f"{told.rows:,} rows"
        )
        quality = _monitor(play, "model-quality")
        play.expect(
            "a window whose outcomes are not all in proves nothing",
            quality.verdict == "unsure",
            _first(quality.reasons) or quality.verdict,
        )
        rest = [_outcome(row) for row in known[len(first) :]]
        again, bad = _outcome(first[0]), {"id": "", LABEL: "perhaps"}
        told = _tell_outcomes(play, "rest", [*rest, again, bad])
        play.expect(
            "of the rest, what cannot be used is put aside with a reason",
            told.rows + told.duplicates >= len(rest) and told.quarantined == 1,
            f"{told.rows:,} rows taken, {told.quarantined} in quarantine: {_first(told.reasons)}",
        )
        step.update("the window closes")
        _wait_until(slot.end.timestamp())
        quality = _monitor(play, "model-quality")
        value = quality.numbers.get("auc", quality.headline)
        play.expect(
            "the window is closed, and the model is as good as it was in training",
            quality.verdict == "healthy",
            _first(quality.reasons) or f"auc {value} over {quality.rows:,} rows",
        )
        days = feedback.read_feedback(play.session, MODEL, 2)
        outcomes_known = sum(day.outcomes for day in days)
        play.expect(
            "the path from prediction to outcome is visible",
            outcomes_known >= len(known),
            f"{outcomes_known:,} of {sum(day.predictions for day in days):,} predictions have "
            "their outcome",
        )
        play.teller.fact("outcomes", f"{outcomes_known:,} joined; {_first(quality.reasons)}")


def _ask(play: Play, rows: Sequence[Row]) -> None:
    asked = without_label(rows)
    for start in range(0, len(asked), _BATCH):
        inference.predict(play.session, MODEL, asked[start : start + _BATCH])


def _ask_in_one_slot(play: Play, rows: Sequence[Row]) -> Slot:
    """Ask about rows right at the start of a slot, so that no other traffic is in it."""
    _wait_until((time.time() // _SLOT + 1) * _SLOT)
    slot = Slot.at(datetime.now(UTC), _SLOT)
    _ask(play, rows)
    return slot


def _watch(play: Play) -> None:
    """Publish the project as it is watched here, if the chapter before has not."""
    name = "watched"
    if not (play.story.folder / name).exists():
        play.publish(project(play.story, name, _WATCHED))


def _monitor(play: Play, monitor: Monitor) -> MonitorReport:
    """Look at live traffic now; return what one monitor saw, of all rows."""
    execution = monitoring.start(play.session, MODEL)
    monitoring.wait_for_verdict(play.session, execution, PATIENCE)
    report = reports.read(play.session, MODEL, reports.choose(play.session, MODEL, ""))
    found = [each for each in report.monitors if each.monitor == monitor and not each.segment]
    if not found:
        said = "; ".join(report.reasons)
        raise FailedError(f"{monitor} is not watched: {said}", f"headrace reports {MODEL}")
    return found[0]


def _retrained(play: Play, known: int) -> RunRecord:
    """Follow recovery from the alarm to the verdict on the run it asked for."""

    def chosen() -> RecoveryRecord | None:
        found = read_journey(play.session, MODEL).recoveries
        return next((each for each in found if each.remedy == "retrain"), None)

    remedy = wait_for(chosen, "recovery to choose", timeout=PATIENCE, interval=0.5)
    alarms = ", ".join(alarm.rpartition("/")[2] for alarm in remedy.alarms)
    play.expect("recovery chose to retrain", bool(remedy.reasons), f"{alarms} rang")

    def judged() -> RunRecord | None:
        runs = read_journey(play.session, MODEL).runs[known:]
        return next((run for run in runs if run.status != "training"), None)

    run = wait_for(judged, "the retrain's verdict", timeout=PATIENCE, interval=0.5)
    play.expect(
        "one run, however often it rings",
        len(read_journey(play.session, MODEL).runs) == known + 1,
        f"requested by {', '.join(run.requested_by)}",
    )
    return run


def _outcome(row: Row) -> Row:
    return {"id": row["id"], LABEL: row[LABEL]}


def _tell_outcomes(play: Play, name: str, rows: Sequence[Row]) -> OutcomesRecord:
    """Send outcomes as a file, and wait for what becomes of its rows."""
    path = play.story.folder / f"{name}.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    sent = outcomes.send(play.session, MODEL, path)
    return outcomes.wait_for_verdict(play.session, MODEL, sent, PATIENCE)


def _wait_until(seconds: float) -> None:
    """Wait for a moment, in seconds since 1970."""
    time.sleep(max(0.0, seconds - time.time()) + 0.1)


def _first(reasons: Sequence[str]) -> str:
    return reasons[0] if reasons else ""
