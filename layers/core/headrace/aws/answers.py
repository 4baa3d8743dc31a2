"""Requests to train again: written down once, and answered; a refusal is announced once."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from headrace.aws.bus import Bus
from headrace.aws.ledger import Ledger
from headrace.aws.projects import find_model
from headrace.errors import TrainingError
from headrace.events import RetrainingRefused, RetrainingRequested
from headrace.records import RequestRecord, RunRecord, now
from headrace.retraining import Answer

# Whoever wrote a refusal down, and has not announced it since, died in between.
_FORGOTTEN = timedelta(minutes=1)


def note_request(event: RetrainingRequested, ledger: Ledger) -> None:
    """Write a request down, for the looks to come; an event that comes twice changes nothing.

    Raises:
        TrainingError: no project of the model is published, so nobody would ever look.
    """
    if find_model(ledger, event.model) is None:
        raise TrainingError(f"No project of {event.model} is published: run `headrace publish`.")
    ledger.create(
        RequestRecord(
            model=event.model,
            request=event.request,
            by=event.by,
            reason=event.reason,
            person=event.person,
            again=event.again,
            asked_at=now(),
        )
    )


def answered_by_runs(
    requests: Sequence[RequestRecord], runs: Sequence[RunRecord]
) -> dict[str, Answer]:
    """Return the answers of requests for which a run was started, by the request's name."""
    started = {request: run for run in runs for request in run.requests}
    return {
        each.request: Answer(
            request=each.request,
            answer="trained",
            reasons=[started[each.request].cause],
            run=started[each.request].run,
        )
        for each in requests
        if each.request in started
    }


def tell(
    requests: Sequence[RequestRecord], answers: Sequence[Answer], ledger: Ledger, bus: Bus
) -> None:
    """Write answers down, and announce refusals, unless people have heard the same before."""
    known = {request.request: request for request in requests}
    said = {(r.by, *r.reasons) for r in requests if r.answer == "refused"}
    for request in requests:
        if request.answer == "refused" and not request.told and _is_old(request.answered_at):
            _announce(request, ledger, bus)
    for answer in answers:
        request = known[answer.request]
        if (request.answer, request.reasons) == (answer.answer, answer.reasons):
            continue
        heard = (request.by, *answer.reasons) in said
        changes = answer.model_dump(include={"answer", "reasons", "run"}) | {
            "answered_at": now(),
            "told": heard,
        }
        ours = ledger.update(request.key(), changes, {"answer": request.answer})
        if ours and answer.answer == "refused" and not heard:
            said.add((request.by, *answer.reasons))
            _announce(request.model_copy(update=changes), ledger, bus)


def _announce(request: RequestRecord, ledger: Ledger, bus: Bus) -> None:
    bus.announce(
        RetrainingRefused(
            model=request.model, request=request.request, by=request.by, reasons=request.reasons
        )
    )
    ledger.update(request.key(), {"told": True})


def _is_old(at: str | None) -> bool:
    return at is not None and datetime.now(UTC) - datetime.fromisoformat(at) > _FORGOTTEN
