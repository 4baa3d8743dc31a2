"""Asks for a run by hand, and reads from the ledger what was answered."""

from datetime import UTC, datetime

from headrace.aws.bus import Bus
from headrace.events import RetrainingRequested
from headrace.names import digest
from headrace.records import Key, RequestRecord, RunRecord, model_partition
from headrace_cli.registry import caller
from headrace_cli.session import Session
from headrace_cli.waiting import wait_for


def request(session: Session, model: str, reason: str, *, again: bool) -> str:
    """Ask for a run; return the request's name."""
    session.model(model)
    person, at = caller(session), datetime.now(UTC)
    name = f"hand-{at:%Y%m%dT%H%M%S}-{digest(person, at.isoformat(), length=6)}"
    Bus(session.stack.bus, session.client("events")).announce(
        RetrainingRequested(
            model=model, request=name, reason=reason, by="hand", person=person, again=again
        )
    )
    return name


def wait_for_answer(
    session: Session, model: str, name: str, timeout: float, *, final: bool = False
) -> RequestRecord:
    """Wait until a request is answered; with `final` not by having to wait.

    Raises:
        TimedOutError: no answer came in time.
    """
    open_answers = (None, "waiting") if final else (None,)

    def look() -> RequestRecord | None:
        key = Key(pk=model_partition(model), sk=f"request#{name}")
        record = session.ledger.get(RequestRecord, key)
        return record if record and record.answer not in open_answers else None

    return wait_for(
        look,
        f"the answer to request {name}",
        timeout=timeout,
        interval=session.environment.poll_seconds,
        hint=f"headrace logs {model} --stage training",
    )


def wait_for_run(session: Session, model: str, name: str, timeout: float) -> RunRecord:
    """Wait for a run's verdict.

    Raises:
        TimedOutError: none came in time.
    """

    def look() -> RunRecord | None:
        key = Key(pk=model_partition(model), sk=f"run#{name}")
        record = session.ledger.get(RunRecord, key)
        return record if record and record.status != "training" else None

    return wait_for(
        look,
        f"the verdict on run {name}",
        timeout=timeout,
        interval=session.environment.poll_seconds,
        hint=f"headrace watch {model}",
    )
