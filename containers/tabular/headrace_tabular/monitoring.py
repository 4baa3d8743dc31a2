"""What live traffic will be compared with, kept beside the evaluation of a run.

baseline.json     profiles of inputs and predictions, quality, attribution, bias, segments
statistics.json   the inputs, as Model Monitor knows them
constraints.json  what these inputs are like, likewise

Whatever cannot be watched is left out and said in words; a model is not refused for it.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import ArrayLike, NDArray

from headrace_profiling import Profile, model_monitor
from headrace_profiling.attribution import global_attributions
from headrace_profiling.bias import Facet
from headrace_profiling.columns import ColumnProfile
from headrace_profiling.engine import logical_type
from headrace_profiling.measure import measure
from headrace_profiling.model_quality import Binary, Multiclass, Regression
from headrace_profiling.sketches import Frequent
from headrace_tabular.columns import Columns, Kind, Table, is_null, take, texts
from headrace_tabular.contributions import contributions
from headrace_tabular.evaluation import Candidate
from headrace_tabular.rows import Prepared, Rows
from headrace_tabular.run import Run

# An NDCG of 500 rows is within 0.001 of that of all. A tree takes some 5 us for a row.
EXPLAINED_ROWS, LEAST_ROWS, EXPLAINED_TREES = 500, 100, 250_000
SEGMENT_VALUES = 10
MAX_TEXT = 1 << 18  # characters that a column's most frequent texts may have together
TYPES: dict[Kind, str] = {
    "number": "number",
    "boolean": "boolean",
    "text": "string",
    "time": "timestamp",
}
ANSWER_TYPES = {"score": "number", "label": "string"}


def write(
    folder: Path, run: Run, rows: Rows, prepared: Prepared, candidate: Candidate, booster: Any
) -> list[str]:
    """Write the three files; return what will not be watched, and why, in sentences.

    `booster` is None for a model that XGBoost did not make.
    """
    warned: list[str] = []
    answered = answers(rows.classes, candidate)
    with duckdb.connect() as connection:
        profiler = Profiler(connection)
        inputs = profiler.profile_each(prepared.inputs, types_of(rows.table), warned)
        watched = {name: prepared.inputs[name] for name in inputs.columns}
        baseline = {
            "schema_version": 1,
            "run": run.run,
            "model": run.model,
            "problem": run.problem,
            "classes": class_names(rows.classes).tolist() or None,
            "rows": rows.table.rows,
            "inputs": inputs.as_dict(),
            "predictions": profiler.profile(answered, ANSWER_TYPES).as_dict(),
            "quality": quality(run, rows, answered, warned),
            "attribution": attribution(prepared, rows, candidate, booster, warned),
            "bias": bias(run, rows, answered, warned),
            "segments": segments(run, rows, watched, answered, profiler, warned),
        }
    folder.mkdir(parents=True, exist_ok=True)
    compact = json.dumps(baseline, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    (folder / "baseline.json").write_text(compact)
    constraints = model_monitor.suggest_constraints(inputs)
    (folder / "statistics.json").write_text(model_monitor.write_statistics(inputs))
    (folder / "constraints.json").write_text(model_monitor.write_constraints(constraints))
    return warned


class Profiler:
    """Profiles columns in memory, given with their logical types."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection

    def profile(self, columns: Columns, types: Mapping[str, str]) -> Profile:
        """Return the profile of columns. Raises duckdb.Error for what DuckDB cannot hold."""
        # Positions for names: DuckDB's names know no case.
        aliases = {f"c{place}": types[name] for place, name in enumerate(columns)}
        arrays = {
            alias: objects(values == 1, values) if aliases[alias] == "boolean" else values
            for alias, values in zip(aliases, columns.values(), strict=True)
        }
        self.connection.register("arrays", arrays)
        try:
            found = measure(self.connection, "arrays", aliases)
        finally:
            self.connection.unregister("arrays")
        return Profile(found.rows, dict(zip(columns, found.columns.values(), strict=True)))

    def profile_each(
        self, columns: Columns, types: Mapping[str, str], warned: list[str]
    ) -> Profile:
        """Return the profile of those columns that can be profiled; say which cannot."""
        found = {}
        for name, values in columns.items():
            try:
                column = self.profile({name: values}, types).columns[name]
            except duckdb.Error as error:
                warned.append(f"column '{name}' will not be watched: {first_line(error)}")
                continue
            found[name] = without_long_texts(column)
        return Profile(len(next(iter(columns.values()))), found)


def without_long_texts(column: ColumnProfile) -> ColumnProfile:
    """Return a column of documents without listing them: they are compared by their hashes."""
    texts = column.texts
    if texts is None or sum(len(text) for text in column.categories) <= MAX_TEXT:
        return column
    missed = texts.frequent.missed + max(column.categories.values())
    return replace(column, texts=replace(texts, frequent=Frequent({}, missed)))


def types_of(table: Table) -> dict[str, str]:
    """Return the logical type of every column."""
    return {
        name: logical_type(table.types[name]) or TYPES[kind] for name, kind in table.kinds.items()
    }


def answers(classes: Sequence[Any], candidate: Candidate) -> Columns:
    """Return the columns `score` and `label` (not for a regression) of the held-out rows."""
    scores = candidate.scored.scores
    if not classes:
        return {"score": scores.astype(np.float64)}
    if scores.ndim == 2:
        said = scores.argmax(axis=1)
        scores = scores[np.arange(len(scores)), said]
    else:
        said = (scores.astype(np.float64) >= candidate.scored.threshold).astype(np.intp)
    return {"score": scores.astype(np.float64), "label": class_names(classes)[said]}


def class_names(classes: Sequence[Any]) -> NDArray[Any]:
    """Return the classes as texts, in the way of `words`."""
    names = [str(value).lower() if isinstance(value, bool) else str(value) for value in classes]
    return np.array(names, dtype=object)


def words(values: NDArray[Any], kind: Kind) -> NDArray[Any]:
    """Return each value as one text that a person would write; null is None."""
    if kind == "boolean":
        return objects(np.where(values == 1, "true", "false"), values)
    return objects([f"{value}Z" for value in values] if kind == "time" else texts(values), values)


def objects(named: ArrayLike, values: NDArray[Any]) -> NDArray[Any]:
    """Return Python's objects, None where the values are null."""
    found = np.array(named, dtype=object)
    found[is_null(values)] = None
    return found


def quality(run: Run, rows: Rows, answered: Columns, warned: list[str]) -> dict[str, Any] | None:
    """Return the counts that the quality of live predictions is compared with."""
    y = rows.y[rows.held]
    try:
        if run.problem == "binary":
            positive = class_names(rows.classes)[-1]
            said = answered["label"] == positive
            counts = Binary.of(y == 1, answered["score"], predictions=said).as_dict()
        elif run.problem == "multiclass":
            outcomes = class_names(rows.classes)[y.astype(np.intp)]
            counts = Multiclass.of(outcomes, answered["label"]).as_dict()
        else:
            counts = Regression.of(y, answered["score"]).as_dict()
    except ValueError as error:
        warned.append(f"the quality on the held-out rows is not in the baseline: {error}")
        return None
    return {"kind": run.problem, "counts": counts}


def attribution(
    prepared: Prepared, rows: Rows, candidate: Candidate, booster: Any, warned: list[str]
) -> dict[str, Any] | None:
    """Return how much each feature moves predictions, from held-out rows spread over all."""
    if booster is None:
        return None
    import xgboost  # the booster needed it before

    held, scores = np.flatnonzero(rows.held), candidate.scored.scores
    trees = booster.num_boosted_rounds() * (scores.shape[1] if scores.ndim == 2 else 1)
    most = int(np.clip(EXPLAINED_TREES // max(trees, 1), LEAST_ROWS, EXPLAINED_ROWS))
    sample = np.linspace(0, len(held) - 1, min(len(held), most)).astype(np.intp)
    booster.set_param({"nthread": os.cpu_count() or 1})
    try:
        found = contributions(booster, prepared.matrix[held[sample]], scores[sample])
    except xgboost.core.XGBoostError as error:
        warned.append(f"attributions will not be watched: {first_line(error)}")
        return None
    names = [feature.name for feature in prepared.features]
    return {"rows": len(sample), "features": global_attributions(found, names)}


def bias(run: Run, rows: Rows, answered: Columns, warned: list[str]) -> dict[str, Any]:
    """Return outcomes and predictions by group; rows that have no value are in no group."""
    if run.problem != "binary":
        if run.facets:
            warned.append(f"bias will not be watched: it needs two classes, this is {run.problem}")
        return {}
    names = class_names(rows.classes)
    outcomes = names[rows.y[rows.held].astype(np.intp)]
    found: dict[str, Any] = {}
    for column, values in known(run.facets, rows, "bias", warned).items():
        named = values[rows.held]
        has = named != None  # noqa: E711 — each element is compared
        facet = np.isin(named[has], run.facets[column])
        counts = Facet.of(facet, outcomes[has], names[-1], answered["label"][has])
        found[column] = {"values": list(run.facets[column]), "counts": counts.as_dict()}
    return found


def segments(
    run: Run,
    rows: Rows,
    inputs: Columns,
    answered: Columns,
    profiler: Profiler,
    warned: list[str],
) -> dict[str, Any]:
    """Return the profiles of the rows that have one of a column's most frequent values."""
    found: dict[str, Any] = {}
    types = types_of(rows.table)
    for column, named in known(run.segments, rows, "segments", warned).items():
        counts = Counter(value for value in named.tolist() if value is not None)
        most = sorted(counts, key=lambda value: (-counts[value], value))[:SEGMENT_VALUES]
        held = named[rows.held]
        found[column] = {
            value: {
                "inputs": profiler.profile(take(inputs, named == value), types).as_dict(),
                "predictions": profiler.profile(
                    take(answered, held == value), ANSWER_TYPES
                ).as_dict(),
            }
            for value in most
        }
    return found


def known(
    columns: Sequence[str] | Mapping[str, Any], rows: Rows, what: str, warned: list[str]
) -> Columns:
    """Return the values, as texts, of those columns that the data has; say which it lacks."""
    table, found = rows.table, {}
    for column in columns:
        if column in table.columns:
            found[column] = words(table.columns[column], table.kinds[column])
        else:
            warned.append(f"column '{column}' of `monitoring.{what}` is not in the data")
    return found


def first_line(error: Exception) -> str:
    """Return what an engine says, without its details."""
    return str(error).strip().partition("\n")[0]
