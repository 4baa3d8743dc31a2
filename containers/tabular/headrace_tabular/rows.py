"""The rows of a run: read, split and turned into features."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace_tabular import model
from headrace_tabular.columns import Columns, Floats, Table, read_parquet, take
from headrace_tabular.encoding import Feature, check_made, encode, learn, normal_features
from headrace_tabular.errors import DataError
from headrace_tabular.labels import classes_of, to_numbers
from headrace_tabular.run import Run
from headrace_tabular.split import VALIDATION, VALIDATION_SHARE, row_keys, share_of

logger = logging.getLogger("headrace")


@dataclass(frozen=True)
class Rows:
    """All labelled rows of a run, and the side each is on."""

    table: Table
    y: Floats
    classes: list[Any]
    keys: list[str]
    dataset: NDArray[np.int64]
    held: NDArray[np.bool_]
    validation: NDArray[np.bool_]

    @property
    def fitted(self) -> NDArray[np.bool_]:
        """The rows that the model learns from."""
        return ~self.held & ~self.validation


@dataclass(frozen=True)
class Prepared:
    """The features of all labelled rows, with the encodings learned from the fitted rows."""

    inputs: Columns
    features: list[Feature]
    matrix: NDArray[np.float32]


def load_rows(run: Run, folder: Path) -> Rows:
    """Read every dataset version of the run, and decide which rows are held out."""
    files: list[Path] = []
    versions: list[int] = []
    for position, dataset in enumerate(run.datasets):
        found = sorted((folder / dataset.version).rglob("*.parquet"))
        if not found:
            raise DataError(
                f"dataset {dataset.version} has no parquet file in the `training` channel"
            )
        files += found
        versions += [position] * len(found)
    read = {run.entity, run.event_time, run.label, *run.slices, *run.facets, *run.segments}
    unread = set(run.exclude) - read
    table = read_parquet(files, ignore=sorted(unread))
    check_columns(run, table)
    kind = table.kinds[run.label]
    values = table.columns[run.label]
    classes = classes_of(run.problem, run.label, values, kind)
    y = to_numbers(classes, values, kind)
    labelled = ~np.isnan(y)
    if not labelled.all():
        logger.warning("%d rows have no label and are left out", (~labelled).sum())
        table = Table(
            take(table.columns, labelled), table.kinds, table.types, table.source[labelled]
        )
        y = y[labelled]
    keys = row_keys(table.columns, run.entity, run.not_learned)
    held = share_of(keys, run.seed) < run.holdout
    validation = ~held & (share_of(keys, f"{run.seed}/{VALIDATION}") < VALIDATION_SHARE)
    rows = Rows(table, y, classes, keys, np.array(versions)[table.source], held, validation)
    check_sides(rows)
    logger.info(
        "%d rows: %d to train, %d to validate, %d held out",
        *(len(y), rows.fitted.sum(), validation.sum(), held.sum()),
    )
    return rows


def check_columns(run: Run, table: Table) -> None:
    """Check that the columns the settings name are there."""
    named = [("label", run.label), ("entity", run.entity), ("event_time", run.event_time)]
    named += [("slice", name) for name in run.slices]
    for role, name in named:
        if name and name not in table.columns:
            versions = ", ".join(dataset.version for dataset in run.datasets)
            raise DataError(
                f"{role} column '{name}' is not in dataset {versions}:"
                f" columns are {', '.join(table.columns)}"
            )


def check_sides(rows: Rows) -> None:
    """Check that every side has rows, and the fitted one more than one class."""
    sides = {"train": rows.fitted, "validate": rows.validation, "hold out": rows.held}
    for name, side in sides.items():
        if side.sum() < 2:
            raise DataError(
                f"{len(rows.y)} labelled rows leave {side.sum()} to {name}: more rows are needed"
            )
    if rows.classes and len(np.unique(rows.y[rows.fitted])) < 2:
        raise DataError("the rows to train on have one class only: more rows are needed")


def prepare(run: Run, rows: Rows, project: Path) -> Prepared:
    """Make the features of all rows; learn the encodings from the fitted rows alone."""
    inputs = {
        name: values for name, values in rows.table.columns.items() if name not in run.not_learned
    }
    if not inputs:
        raise DataError("no column is left to learn from: see `data.exclude`")
    make = model.features_function(project, run.features)
    made, kinds = inputs, {name: rows.table.kinds[name] for name in inputs}
    if make is not None:
        for values in inputs.values():
            values.flags.writeable = False  # the user's code must not change what is evaluated
        made = make(dict(inputs))
        kinds = check_made(made, rows.table.rows)
        made = normal_features(made, kinds)
    features = learn(take(made, rows.fitted), kinds, rows.y[rows.fitted])
    logger.info("%d features of %d columns", len(features), len(inputs))
    return Prepared(inputs, features, encode(features, made))
