"""Outcomes as they come in: which rows of a file can be used, in their normal form.

A row names a prediction (`inference_id`, and `row` where a request had several), or whom it is
about (the entity's column), and says how it turned out: under the label's name, or `outcome`. The
normal form is parquet, in the order of the file: id, entity, row, outcome (text, as predictions
spell the label), at (when it turned out, or else when it was received; UTC), received_at.
"""

# Names of columns cannot be bound as parameters; `identifier` and `literal` quote them.
# ruff: noqa: S608

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from headrace.definition import ModelDefinition, Problem
from headrace.monitoring.layout import OWN_REQUESTS
from headrace_profiling.engine import Engine, identifier, literal
from headrace_profiling.quality import REASON, Format
from headrace_profiling.readers import ROW, Unreadable, open_parquet, read_csv, read_jsonl

FORMATS: Mapping[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
}
_RAW = "_raw"
_MOST_REASONS = 20
_LONGEST_ID = 64  # InferenceId of InvokeEndpoint, API reference
_LARGEST_EXACT = 2**53  # beyond it a double skips whole numbers
_ISO = r"\d{4}-\d{2}-\d{2}([T ].*)?"


@dataclass(frozen=True)
class OutcomeRules:
    """What an outcome must be, by the model's definition.

    `measure` and `measured` are the fields of an A/B test: a row that has these alone is the
    test's, and neither an outcome nor wrong.
    """

    label: str
    problem: Problem
    label_type: str | None = None
    values: tuple[str, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    entity: str | None = None
    entity_type: str | None = None
    measure: str | None = None
    measured: str | None = None

    @classmethod
    def of(cls, definition: ModelDefinition, columns: Mapping[str, str]) -> "OutcomeRules":
        """Take the rules from a definition; `columns` are the types of the data, if known."""
        data, test = definition.data, definition.deployment.ab
        label = data.column(data.label)
        entity = data.column(data.entity) if data.entity else None
        return cls(
            label=data.label,
            problem=definition.evaluation.problem,
            label_type=label.type if label else columns.get(data.label),
            values=tuple(label.values) if label and label.values is not None else None,
            minimum=label.minimum if label else None,
            maximum=label.maximum if label else None,
            entity=data.entity,
            entity_type=entity.type if entity else columns.get(data.entity or ""),
            measure=test.outcome if test else None,
            measured=(test.entity or "inference_id") if test else None,
        )


@dataclass(frozen=True)
class CheckedOutcomes:
    """What was found in a file. With a `problem` none of it can be used.

    `rows` can be used, `by_entity` of them name no inference id; `duplicates` say the same as an
    earlier row, `measured` are an A/B test's.
    """

    problem: str | None = None
    rows: int = 0
    by_entity: int = 0
    duplicates: int = 0
    quarantined: int = 0
    measured: int = 0
    reasons: list[str] = field(default_factory=list)
    good_file: Path | None = None
    bad_file: Path | None = None


def check_outcomes(
    path: Path,
    file_format: Format,
    folder: Path,
    rules: OutcomeRules,
    received_at: datetime,
    engine: Engine,
) -> CheckedOutcomes:
    """Part the usable rows of a file from the others. `folder` is empty and takes the results."""
    if path.stat().st_size == 0:
        return CheckedOutcomes(problem="The file is empty (0 bytes).")
    try:
        with engine.session() as connection:
            connection.execute("SET TimeZone = 'UTC'")  # of times that name none
            if file_format == "parquet":
                open_parquet(connection, path)
            else:
                read = read_csv if file_format == "csv" else read_jsonl
                read(connection, path, folder)
            return _Check(connection, folder, rules, received_at).run()
    except Unreadable as error:
        return CheckedOutcomes(problem=str(error))
    except duckdb.OutOfMemoryException:
        return CheckedOutcomes(
            problem=f"The file cannot be read within {engine.memory_mb} MB of memory; split it."
        )
    except duckdb.Error as error:
        # Broken parquet surfaces as almost any class of DuckDB's errors, the base included.
        first_line = str(error).splitlines()[0].replace(str(path), "the file")
        return CheckedOutcomes(problem=f"The file is not readable as {file_format}: {first_line}")


def spelt(text: str, type_: str | None) -> str:
    """Return SQL of a label or an entity as predictions spell it; null where it is not of the type.

    1 rather than 1.0, and true rather than True, so that files of all kinds say the same.
    """
    number = f"TRY_CAST({text} AS DOUBLE)"
    whole = f"isfinite({number}) AND trunc({number}) = {number} AND abs({number}) <= "
    whole += str(_LARGEST_EXACT)
    integer = f"CASE WHEN {whole} THEN CAST(CAST({number} AS BIGINT) AS VARCHAR) END"
    boolean = f"CASE WHEN lower({text}) IN ('true', 'false') THEN lower({text}) END"
    finite = f"CASE WHEN isfinite({number}) THEN CAST({number} AS VARCHAR) END"
    return {
        "integer": integer,
        "number": f"coalesce({integer}, {finite})",
        "boolean": boolean,
        None: f"coalesce({integer}, {boolean}, {text})",
    }.get(type_, text)


class _Check:
    """The steps of one check, on the table `source` and its `rejects`."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        folder: Path,
        rules: OutcomeRules,
        received_at: datetime,
    ) -> None:
        self.connection = connection
        self.folder = folder
        self.rules = rules
        received = received_at.astimezone(UTC).replace(tzinfo=None)
        self.received = f"TIMESTAMP {literal(received.isoformat(sep=' '))}"
        described = connection.execute("DESCRIBE source").fetchall()
        self.columns = {name.casefold() for name, *_ in described if name != ROW}

    def run(self) -> CheckedOutcomes:
        problem = self._missing_columns()
        if problem:
            return CheckedOutcomes(problem=problem)
        self._judge()
        self.connection.execute(
            "CREATE TEMP VIEW good AS SELECT * FROM judged WHERE len(faults) = 0 "
            "QUALIFY row_number() OVER (PARTITION BY id, entity, nr, happened, outcome "
            "ORDER BY pos) = 1"
        )
        measured = self._count("judged WHERE len(faults) > 0 AND measured")
        usable, rows = self._count("judged WHERE len(faults) = 0"), self._count("good")
        quarantined = self._count("bad") + self._count("rejects")
        total = usable + measured + quarantined
        reasons = self._reasons(total) if quarantined else []
        if not usable and not measured:
            told = f"None of the {total} rows can be used: {'; '.join(reasons)}."
            return CheckedOutcomes(
                problem=told if total else "The file has no rows.", quarantined=quarantined
            )
        return CheckedOutcomes(
            rows=rows,
            by_entity=self._count("good WHERE id IS NULL"),
            duplicates=usable - rows,
            quarantined=quarantined,
            measured=measured,
            reasons=reasons,
            good_file=self._write_good() if rows else None,
            bad_file=self._write_bad() if quarantined else None,
        )

    def _missing_columns(self) -> str | None:
        """Say what no row can have, unless the file may be an A/B test's."""
        rules = self.rules
        if rules.measure and rules.measure.casefold() in self.columns:
            return None
        if not {rules.label.casefold(), "outcome"} & self.columns:
            return f"The file has no column {rules.label} or outcome, which says how it turned out."
        if not {"inference_id", (rules.entity or "inference_id").casefold()} & self.columns:
            return f"The file has no column {self._names()}, which says what it is about."
        return None

    def _names(self) -> str:
        return f"inference_id or {self.rules.entity}" if self.rules.entity else "inference_id"

    def _text(self, name: str | None) -> str:
        """Return SQL of a column as text; what is absent, null or blank is null."""
        if name is None or name.casefold() not in self.columns:
            return "NULL::VARCHAR"
        return f"nullif(trim({identifier(name)}::VARCHAR), '')"

    def _judge(self) -> None:
        """Make `judged` (the normal form, faults, whether it is an A/B test's) and `bad`."""
        rules = self.rules
        self.connection.execute(
            f"CREATE TEMP VIEW told AS SELECT {ROW} AS pos, {self._text('inference_id')} AS id, "
            f"{self._text(rules.entity)} AS who, {self._text('row')} AS nr_text, "
            f"{self._text('time')} AS time_text, {self._text(rules.label)} AS label, "
            f"coalesce({self._text(rules.label)}, {self._text('outcome')}) AS said, "
            f"{self._text('outcome')} AS plain, {self._text(rules.measure)} AS measure, "
            f"{self._text(rules.measured)} AS whose FROM source"
        )
        type_ = "number" if rules.problem == "regression" else rules.label_type
        self.connection.execute(
            f"CREATE TEMP VIEW normal AS SELECT *, {spelt('said', type_)} AS outcome, "
            f"{spelt('who', rules.entity_type)} AS entity, "
            f"CASE WHEN regexp_full_match(nr_text, '[0-9]{{1,9}}([.]0)?') "
            "THEN TRY_CAST(TRY_CAST(nr_text AS DOUBLE) AS INTEGER) END AS nr, "
            f"CASE WHEN regexp_full_match(time_text, {literal(_ISO)}) "
            "THEN TRY_CAST(TRY_CAST(time_text AS TIMESTAMPTZ) AS TIMESTAMP) END AS told_at "
            "FROM told"
        )
        # Of a test's own row: the measure is a number, and the label says nothing.
        own = "label IS NULL AND " + (
            "true" if (rules.measure or "").casefold() == "outcome" else "plain IS NULL"
        )
        own += " AND whose IS NOT NULL AND (isfinite(TRY_CAST(measure AS DOUBLE)) "
        own += "OR lower(measure) IN ('true', 'false'))"
        self.connection.execute(
            f"CREATE TEMP TABLE judged AS SELECT pos, id, entity, nr, outcome, "
            f"coalesce(told_at, {self.received}) AS happened, coalesce({own}, false) AS measured, "
            f"list_filter([{', '.join(self._faults())}], lambda fault: fault IS NOT NULL) "
            "AS faults FROM normal"
        )
        self.connection.execute(
            "CREATE TEMP VIEW bad AS SELECT pos, faults FROM judged "
            "WHERE len(faults) > 0 AND NOT measured"
        )

    def _faults(self) -> list[str]:
        """Return one SQL expression per check: its reason, or null."""
        rules = self.rules
        wanted = "number" if rules.problem == "regression" else rules.label_type
        conditions = [
            ("said IS NULL", f"{rules.label} (or outcome) is missing"),
            ("said IS NOT NULL AND outcome IS NULL", f"{rules.label} does not read as {wanted}"),
            ("id IS NULL AND who IS NULL", f"names no {self._names()}"),
            (f"length(id) > {_LONGEST_ID}", f"inference_id is longer than {_LONGEST_ID}"),
            (
                f"starts_with(id, {literal(OWN_REQUESTS)})",
                "inference_id is one of Headrace's own requests",
            ),
            (
                "id IS NULL AND who IS NOT NULL AND entity IS NULL",
                f"{rules.entity} does not read as {rules.entity_type}",
            ),
            ("nr_text IS NOT NULL AND nr IS NULL", "row is no position from 0"),
            (
                "time_text IS NOT NULL AND (told_at IS NULL OR NOT isfinite(told_at))",
                "time does not read as ISO 8601",
            ),
            (f"told_at > {self.received} + INTERVAL 1 DAY", "time is in the future"),
        ]
        number = "TRY_CAST(outcome AS DOUBLE)"
        if rules.minimum is not None:
            conditions.append(
                (f"{number} < {rules.minimum!r}", f"{rules.label} is below {rules.minimum:g}")
            )
        if rules.maximum is not None:
            conditions.append(
                (f"{number} > {rules.maximum!r}", f"{rules.label} is above {rules.maximum:g}")
            )
        if rules.values is not None:
            allowed = ", ".join(literal(value) for value in rules.values)
            conditions.append(
                (f"outcome NOT IN ({allowed})", f"{rules.label} is none of the allowed values")
            )
        return [f"CASE WHEN {when} THEN {literal(reason)} END" for when, reason in conditions]

    def _reasons(self, total: int) -> list[str]:
        counted = self.connection.execute(
            "SELECT reason, count(*) AS n FROM (SELECT unnest(faults) AS reason FROM bad "
            "UNION ALL SELECT reason FROM rejects) GROUP BY reason ORDER BY n DESC, reason "
            f"LIMIT {_MOST_REASONS}"
        ).fetchall()
        return [f"{reason} in {n} of {total} rows" for reason, n in counted]

    def _write_good(self) -> Path:
        columns = (
            f'id, entity, nr AS "row", outcome, happened AS "at", {self.received} AS received_at'
        )
        return self._copy(f"SELECT {columns} FROM good ORDER BY pos", "good.parquet")

    def _write_bad(self) -> Path:
        """Write bad rows as they are, and lines that could not be taken apart, reasons last."""
        return self._copy(
            f"SELECT * EXCLUDE ({REASON}), {REASON} FROM ("
            f"SELECT source.*, array_to_string(faults, '; ') AS {REASON} "
            f"FROM source JOIN bad ON bad.pos = source.{ROW} UNION ALL BY NAME "
            f"SELECT line AS {ROW}, raw AS {_RAW}, reason AS {REASON} FROM rejects) ORDER BY {ROW}",
            "bad.parquet",
        )

    def _copy(self, query: str, name: str) -> Path:
        target = self.folder / name
        self.connection.execute(
            f"COPY ({query}) TO {literal(str(target))} (FORMAT parquet, COMPRESSION zstd)"
        )
        return target

    def _count(self, of: str) -> int:
        row = self.connection.execute(f"SELECT count(*) FROM {of}").fetchone()
        return int(row[0]) if row else 0
