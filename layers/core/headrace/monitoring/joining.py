"""Outcomes meet predictions: files of both become the counts of each slot. DuckDB, no AWS.

An outcome belongs to the prediction it names (inference id, and row where the request had several),
or to the nearest earlier prediction for its entity, in whatever slot and of whatever version that
was. Of several outcomes of a prediction the first received counts, then the one of the first part
by name. Nothing of this depends on when or in what order files are joined.

Every slot has a small file of keys (hashes of ids and entities, with times), by which the slots are
found that an outcome concerns; only those slots' predictions are read.
"""

# Names of columns cannot be bound as parameters; `identifier` and `literal` quote them.
# ruff: noqa: S608

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np

from headrace.definition import Problem
from headrace.monitoring.feedback import QualityDocument, delay_bucket
from headrace.monitoring.layout import input_column
from headrace.monitoring.outcomes import spelt
from headrace_profiling.bias import Facet
from headrace_profiling.engine import identifier, literal
from headrace_profiling.model_quality import Binary, Multiclass, Regression

EARLY = timedelta(hours=1)
"""An outcome may seem to be received this long before its prediction: clocks are not the same."""
_EARLY = f"INTERVAL {int(EARLY.total_seconds())} SECOND"
_BATCH = 65_536
_HASH = "md5_number_lower"  # DuckDB's own hash changes with its releases
_LABEL, _OUTCOME, _SCORE = 0, 1, 2


class SlotOf(NamedTuple):
    """A slot of a package version."""

    version: int
    slot: str


class Bounds(NamedTuple):
    """How many predictions a slot has, and the times of the first and the last (UTC)."""

    rows: int
    first: datetime | None
    last: datetime | None


@dataclass(frozen=True)
class Joining:
    """How predictions and outcomes of a model are joined.

    `segments` and `facets` name columns and their values, `types` the columns' types. `classes` are
    all labels as training has them, the positive one last; where nobody knows them, `labels` are
    those known so far.
    """

    problem: Problem
    wait: int
    label_type: str | None = None
    entity: str | None = None
    entity_type: str | None = None
    classes: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    types: Mapping[str, str] = field(default_factory=dict)
    segments: Mapping[str, Sequence[str]] = field(default_factory=dict)
    facets: Mapping[str, Sequence[str]] = field(default_factory=dict)


class Joiner:
    """One run over files. `outcomes` are files of the normal form by the names of their parts."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, outcomes: Mapping[str, Path]) -> None:
        self._connection = connection
        connection.execute("SET TimeZone = 'UTC'")
        names = ", ".join(f"({literal(str(p))}, {literal(name)})" for name, p in outcomes.items())
        told = (
            f"SELECT names.name AS part, file_row_number AS pos, * EXCLUDE (filename, "
            f"file_row_number, name) FROM read_parquet({_files(outcomes.values())}, "
            f"filename = true, file_row_number = true) JOIN (VALUES {names}) AS "
            "names(filename, name) USING (filename)"
        )
        nothing = (
            "SELECT ''::VARCHAR AS part, 0::BIGINT AS pos, ''::VARCHAR AS id, ''::VARCHAR AS "
            'entity, 0::INTEGER AS "row", \'\'::VARCHAR AS outcome, now()::TIMESTAMP AS "at", '
            "now()::TIMESTAMP AS received_at WHERE false"
        )
        connection.execute(f"CREATE TEMP TABLE outcomes AS {told if outcomes else nothing}")

    def write_keys(self, parts: Sequence[Path], target: Path, joining: Joining) -> Bounds:
        """Write the keys of a slot's predictions."""
        self._open_predictions(parts, joining)
        self._connection.execute(
            f"COPY (SELECT {_HASH}(id) AS id, nr, {_HASH}(entity) AS entity, moment "
            f"FROM predictions ORDER BY ALL) TO {literal(str(target))} "
            "(FORMAT parquet, COMPRESSION zstd)"
        )
        row = self._connection.execute(
            f"SELECT count(*), min(moment), max(moment) FROM {literal(str(target))}"
        ).fetchone()
        rows, first, last = row or (0, None, None)
        return Bounds(rows, first and first.replace(tzinfo=UTC), last and last.replace(tzinfo=UTC))

    def concerned(
        self,
        keys: Mapping[SlotOf, Path],
        fresh: Iterable[str],
        changed: Iterable[SlotOf],
        wait: int,
    ) -> set[SlotOf]:
        """Return the slots that fresh parts of outcomes, or changed slots, may change.

        `keys` are those of all slots whose predictions an outcome of these could belong to.
        """
        self._connection.execute("CREATE OR REPLACE TEMP TABLE fresh (part VARCHAR)")
        for part in fresh:
            self._connection.execute("INSERT INTO fresh VALUES (?)", [part])
        self._open_keys(keys)
        changed = set(changed)
        moved = ", ".join(f"({each.version}, {literal(each.slot)})" for each in changed)
        named = (
            f"SELECT DISTINCT version, slot FROM keys WHERE id IN (SELECT {_HASH}(id) FROM "
            "outcomes WHERE part IN (FROM fresh))"
        )
        # A prediction that came late takes over outcomes that an earlier one had so far.
        taken = (
            "SELECT DISTINCT version, slot FROM keys WHERE entity IN (SELECT entity FROM keys "
            f"WHERE (version, slot) IN ({moved})) AND entity IN (SELECT {_HASH}(entity) FROM "
            "outcomes WHERE id IS NULL)"
        )
        self._connection.execute(
            "CREATE OR REPLACE TEMP TABLE nearest AS SELECT o.part, o.pos, max({moment: k.moment, "
            "id: k.id, nr: k.nr, version: k.version, slot: k.slot}) AS it FROM outcomes o JOIN "
            f"keys k ON k.entity = {_HASH}(o.entity) AND k.moment <= least(o.at, o.received_at + "
            f"{_EARLY}) AND k.moment >= o.received_at - INTERVAL {wait} SECOND "
            "WHERE o.id IS NULL GROUP BY ALL"
        )
        about = "SELECT DISTINCT it.version, it.slot FROM nearest WHERE part IN (FROM fresh)"
        found = self._connection.execute(
            " UNION ".join([named, about, *([taken] if moved else [])])
        ).fetchall()
        return changed | {SlotOf(version, slot) for version, slot in found}

    def measure(
        self, of: SlotOf, seconds: int, until: datetime, parts: Sequence[Path], joining: Joining
    ) -> QualityDocument:
        """Return what all outcomes say of a slot's predictions; `concerned` comes before."""
        self._open_predictions(parts, joining)
        self._connection.execute(
            "CREATE OR REPLACE TEMP TABLE named AS SELECT *, count(*) OVER (PARTITION BY id) AS "
            "siblings FROM predictions"
        )
        within = (
            f"o.received_at >= p.moment - {_EARLY} "
            f"AND o.received_at <= p.moment + INTERVAL {joining.wait} SECOND"
        )
        outcome = f"coalesce({spelt('o.outcome', _type(joining))}, o.outcome)"
        columns = f"p.id, p.nr, {outcome} AS outcome, o.received_at, o.part, o.pos"
        self._connection.execute(
            f"CREATE OR REPLACE TEMP TABLE pairs AS SELECT id, nr, "
            "min({received_at: received_at, part: part, pos: pos, outcome: outcome}) AS first, "
            "count(*) AS told, count(DISTINCT outcome) AS different FROM ("
            f"SELECT {columns} FROM outcomes o JOIN named p ON p.id = o.id AND "
            f'(p.nr = o."row" OR (o."row" IS NULL AND p.siblings = 1)) WHERE {within} '
            f"UNION ALL SELECT {columns} FROM nearest n JOIN outcomes o USING (part, pos) JOIN "
            f"named p ON {_HASH}(p.id) = n.it.id AND p.nr = n.it.nr WHERE {within} AND "
            f"n.it.version = {of.version} AND n.it.slot = {literal(of.slot)}) GROUP BY id, nr"
        )
        totals = self._connection.execute(
            "SELECT (SELECT count(*) FROM named), count(*), coalesce(sum(told - 1), 0), "
            "count(*) FILTER (different > 1) FROM pairs"
        ).fetchone()
        predictions, outcomes, repeated, contradictions = map(int, totals or (0, 0, 0, 0))
        told_by = self._connection.execute(
            "SELECT DISTINCT first.part FROM pairs ORDER BY ALL"
        ).fetchall()
        counted = self._count(joining) if outcomes else _Counted(joining)
        return QualityDocument(
            slot=of.slot,
            seconds=seconds,
            until=until,
            problem=joining.problem,
            predictions=predictions,
            outcomes=outcomes,
            repeated=repeated,
            contradictions=contradictions,
            unscored=counted.unscored,
            outcome_parts=[part for (part,) in told_by],
            delays=dict(sorted(counted.delays.items())),
            counts=counted.counts.as_dict() if counted.counts else None,
            segments={
                column: {value: counts.as_dict() for value, counts in values.items()}
                for column, values in counted.segments.items()
            },
            bias={column: facet.as_dict() for column, facet in counted.facets.items()},
        )

    def _count(self, joining: Joining) -> "_Counted":
        """Count pairs in an order that is always the same, so that sums of floats are too."""
        labels = self._connection.execute(
            "SELECT DISTINCT label FROM named WHERE label IS NOT NULL UNION "
            "SELECT DISTINCT first.outcome FROM pairs LIMIT 1000"
        ).fetchall()
        counted = _Counted(joining, self._classes(joining), [label for (label,) in labels])
        watched = "".join(f", {identifier(f'c{i}')}" for i in range(len(_watched(joining))))
        found = self._connection.execute(
            "SELECT label, first.outcome, score, epoch(first.received_at) - epoch(moment)"
            f"{watched} FROM named JOIN pairs USING (id, nr) ORDER BY id, nr"
        )
        while batch := found.fetchmany(_BATCH):
            counted.add(batch)
        return counted

    def _classes(self, joining: Joining) -> list[str]:
        """Return the classes as labels and outcomes are spelt here."""
        spelled = f"coalesce({spelt('class', _type(joining))}, class)"
        found = self._connection.execute(
            f"SELECT {spelled} FROM (SELECT unnest(?::VARCHAR[]) AS class)", [list(joining.classes)]
        ).fetchall()
        return [each for (each,) in found]

    def _open_predictions(self, parts: Sequence[Path], joining: Joining) -> None:
        """Make view `predictions`: each (id, nr) once, though a client may have sent it twice."""
        source = f"read_parquet({_files(parts)}, union_by_name = true)"
        if not parts:
            source = "(SELECT NULL::VARCHAR AS id WHERE false)"
        described = self._connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
        known = {name.casefold() for name, *_ in described}

        def text(column: str | None, type_: str | None) -> str:
            name = input_column(column) if column else ""
            if name.casefold() not in known:
                return "NULL::VARCHAR"
            raw = f"{identifier(name)}::VARCHAR"
            return f"coalesce({spelt(raw, type_)}, {raw})"

        def own(column: str, type_: str) -> str:
            return f"{identifier(column)}::{type_}" if column in known else f"NULL::{type_}"

        label = own("label", "VARCHAR")
        watched = "".join(
            f", {text(column, joining.types.get(column))} AS {identifier(f'c{i}')}"
            for i, column in enumerate(_watched(joining))
        )
        self._connection.execute(
            f"CREATE OR REPLACE TEMP VIEW predictions AS SELECT id, {own('row', 'INTEGER')} AS nr, "
            f"{own('at', 'TIMESTAMP')} AS moment, {own('score', 'DOUBLE')} AS score, "
            f"coalesce({spelt(label, _type(joining))}, {label}) AS label, "
            f"{text(joining.entity, joining.entity_type)} AS entity{watched} FROM {source} "
            "QUALIFY row_number() OVER (PARTITION BY id, nr ORDER BY moment, score, label) = 1"
        )

    def _open_keys(self, keys: Mapping[SlotOf, Path]) -> None:
        names = ", ".join(
            f"({literal(str(path))}, {of.version}, {literal(of.slot)})" for of, path in keys.items()
        )
        told = (
            f"SELECT * EXCLUDE (filename) FROM read_parquet({_files(keys.values())}, "
            f"filename = true) JOIN (VALUES {names}) AS names(filename, version, slot) "
            "USING (filename)"
        )
        nothing = (
            "SELECT 0::UBIGINT AS id, 0 AS nr, 0::UBIGINT AS entity, now()::TIMESTAMP AS moment, "
            "0 AS version, ''::VARCHAR AS slot WHERE false"
        )
        self._connection.execute(f"CREATE OR REPLACE TEMP VIEW keys AS {told if keys else nothing}")


Counts = Binary | Multiclass | Regression


class _Counted:
    """Counts of pairs, so far."""

    def __init__(
        self, joining: Joining, classes: Sequence[str] = (), labels: Sequence[str] = ()
    ) -> None:
        self.joining = joining
        self.classes = frozenset(classes)
        self.positive = classes[-1] if classes else positive_label({*labels, *joining.labels})
        self.counts: Counts | None = None
        self.segments: dict[str, dict[str, Counts]] = {}
        self.facets: dict[str, Facet] = {}
        self.delays: Counter[int] = Counter()
        self.unscored = 0

    def add(self, batch: list[tuple[Any, ...]]) -> None:
        """Count rows of label, outcome, score, delay and the watched columns."""
        self.delays.update(delay_bucket(row[3]) for row in batch)
        usable = [row for row in batch if self._is_usable(row)]
        self.unscored += len(batch) - len(usable)
        if not usable:
            return
        self.counts = _sum(self.counts, self._measure(usable))
        watched = {column: 4 + i for i, column in enumerate(_watched(self.joining))}
        for column, values in self.joining.segments.items():
            found = self.segments.setdefault(column, {})
            for value in values:
                rows = [row for row in usable if row[watched[column]] == value]
                if rows:
                    found[value] = _sum(found.get(value), self._measure(rows))
        if self.joining.problem == "binary":
            for column, group in self.joining.facets.items():
                # Rows that have no value are in no group, as in the baseline.
                rows = [row for row in usable if row[watched[column]] is not None]
                facet = Facet.of(
                    [row[watched[column]] in group for row in rows],
                    np.array([row[_OUTCOME] for row in rows], dtype=object),
                    self.positive,
                    np.array([row[_LABEL] for row in rows], dtype=object),
                )
                self.facets[column] = self.facets.get(column, Facet({})) + facet

    def _is_usable(self, row: tuple[Any, ...]) -> bool:
        problem, score = self.joining.problem, row[_SCORE]
        if problem == "multiclass":
            return row[_LABEL] is not None
        if score is None or not np.isfinite(score):
            return False
        if problem == "regression":
            return _number(row[_OUTCOME]) is not None
        # What is neither of the two classes is no outcome yet, rather than a negative one.
        if self.classes and not {row[_LABEL], row[_OUTCOME]} <= self.classes:
            return False
        return row[_LABEL] is not None and 0 <= score <= 1

    def _measure(self, rows: list[tuple[Any, ...]]) -> Counts:
        problem = self.joining.problem
        if problem == "multiclass":
            return Multiclass.of([row[_OUTCOME] for row in rows], [row[_LABEL] for row in rows])
        scores = np.array([row[_SCORE] for row in rows], float)
        if problem == "regression":
            return Regression.of([float(row[_OUTCOME]) for row in rows], scores)
        outcomes, labels = (
            np.array([row[side] == self.positive for row in rows], bool)
            for side in (_OUTCOME, _LABEL)
        )
        return Binary.of(outcomes, scores, predictions=labels)


def positive_label(known: Iterable[str]) -> str | None:
    """Return the positive one of two labels: the last in their order, as training has it."""
    labels = set(known)
    for pair in ({"0", "1"}, {"false", "true"}):
        if labels and labels <= pair:
            return max(pair)
    numbers = {label: _number(label) for label in labels}
    if all(number is not None for number in numbers.values()):
        return max(labels, key=lambda label: numbers[label] or 0.0, default=None)
    return max(labels, default=None)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def _sum(one: Any, other: Counts) -> Counts:
    found: Counts = other if one is None else one + other
    return found


def _type(joining: Joining) -> str | None:
    return "number" if joining.problem == "regression" else joining.label_type


def _watched(joining: Joining) -> list[str]:
    return list(dict.fromkeys([*joining.segments, *joining.facets]))


def _files(paths: Iterable[Path]) -> str:
    return "[" + ", ".join(literal(str(path)) for path in paths) + "]"
