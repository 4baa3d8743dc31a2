"""What an endpoint serves, and whether anything may happen to it by itself."""

from headrace.records import EndpointRecord, Key, PauseRecord, now
from headrace_cli.errors import RefusedError
from headrace_cli.registry import caller
from headrace_cli.session import Session


def live(session: Session, model: str) -> EndpointRecord | None:
    """Return what the ledger knows of a model's endpoint."""
    endpoint = session.model(model).endpoint
    return session.ledger.get(EndpointRecord, Key(pk="endpoints", sk=endpoint))


def pause(session: Session, model: str, reason: str, *, paused: bool) -> PauseRecord:
    """Pause or resume a model's endpoint, and write down who did and why.

    Raises:
        RefusedError: there is no endpoint, or it is paused, or not, already.
    """
    found = live(session, model)
    if found is None:
        raise RefusedError(f"'{model}' has no endpoint yet, so nothing happens to it.")
    if bool(found.paused) is paused:
        state = f"paused already: {found.paused}" if paused else "not paused"
        raise RefusedError(f"Endpoint {found.endpoint} is {state}.")
    by = caller(session)
    said = f"by {by}" + (f": {reason}" if reason else "")
    record = PauseRecord(
        model=model, endpoint=found.endpoint, paused=paused, by=by, reason=reason, at=now()
    )
    session.ledger.put(record)
    session.ledger.update(found.key(), {"paused": said if paused else None})
    return record
