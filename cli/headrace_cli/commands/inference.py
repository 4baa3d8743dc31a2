"""`predict`: ask the endpoint of a model."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from headrace_cli import inference
from headrace_cli.app import app
from headrace_cli.commands.options import Limit, Model
from headrace_cli.errors import UsageError
from headrace_cli.session import Session, command


@command(app)
def predict(
    session: Session,
    model: Model,
    row: Annotated[str, typer.Option(metavar="JSON", help="One row, as a JSON object.")] = "",
    input_file: Annotated[
        Path | None, typer.Option("--input", help="Rows: csv, json, jsonl or parquet.")
    ] = None,
    output_file: Annotated[
        Path | None, typer.Option("--output", help="Write rows and predictions to this file.")
    ] = None,
    limit: Limit = 20,
) -> None:
    """Predict for one row, or for all rows of a file."""
    rows = _rows(row, input_file)
    console = session.console
    with console.step(f"predicting {len(rows):,} rows") as step:
        answer = inference.predict(session, model, rows)
        version = f"v{answer.version}" if answer.version else "no package"
        step.done(f"{answer.endpoint} ({answer.variant}, {version}), {answer.requests} requests")
    answered = [as_mapping(a) for a in answer.rows]
    if output_file:
        joined = [{**r, **a} for r, a in zip(rows, answered, strict=True)]
        inference.write_rows(joined, output_file)
        console.say(f"wrote {len(joined):,} rows to {output_file}")
    else:
        columns = list(answered[0]) if answered else []
        shown = answered[:limit]
        console.table(columns, [[inference.encode(a[c]) for c in columns] for a in shown])
        if len(answered) > limit:
            console.say(f"[dim]… {len(answered) - limit:,} more; use --output[/]")
    console.document({**asdict(answer), "rows": [] if output_file else answer.rows})


def as_mapping(answer: Any) -> dict[str, Any]:
    """Return one prediction as named values."""
    return dict(answer) if isinstance(answer, dict) else {"prediction": answer}


def _rows(row: str, input_file: Path | None) -> list[inference.Row]:
    if bool(row) == bool(input_file):
        raise UsageError("Say what to predict for: either --row or --input.")
    if input_file:
        rows = inference.read_rows(input_file)
        if not rows:
            raise UsageError(f"{input_file} holds no rows.")
        return rows
    try:
        one = json.loads(row)
    except json.JSONDecodeError as error:
        raise UsageError(f"--row is not JSON: {error}") from error
    if not isinstance(one, dict):
        raise UsageError("--row must be a JSON object: columns and their values.")
    return [one]
