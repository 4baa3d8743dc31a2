"""Rows in the formats of the built-in XGBoost: CSV and libsvm, the label first, no header."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from scipy.sparse import csr_matrix

from headrace_images.contract import UserError

_EMPTY_FIELD = re.compile(r"(?:(?<=,)|^)[ \t]*(?=,|$)")
FORMATS = {
    "text/csv": "csv",
    "csv": "csv",
    "text/libsvm": "libsvm",
    "text/x-libsvm": "libsvm",
    "libsvm": "libsvm",
}


@dataclass
class Rows:
    """Rows of features; `x` is an array or a sparse matrix."""

    x: Any
    label: Any = None
    weight: Any = None
    group: Any = None
    """Which rows belong to one query, for ranking."""

    @property
    def columns(self) -> int:
        """How many features there are."""
        return int(self.x.shape[1])

    def matrix(self, columns: int | None = None) -> Any:
        """Return XGBoost's matrix, with further empty columns up to `columns` if sparse."""
        x = self.x
        if columns and isinstance(x, csr_matrix):
            x = csr_matrix((x.data, x.indices, x.indptr), shape=(x.shape[0], columns))
        return xgboost.DMatrix(x, label=self.label, weight=self.weight, qid=self.group)


def format_of(content_type: str) -> str:
    """Return the format of a content type. Raises UserError."""
    kind = FORMATS.get(content_type.partition(";")[0].strip().lower())
    if kind is None:
        raise UserError(
            f"{content_type} is not an accepted ContentType: {', '.join(sorted(FORMATS))}. "
            "AWS's other formats, Parquet and RecordIO-protobuf, are not read locally."
        )
    return kind


def read_folder(folder: Path, content_type: str, weighted: bool) -> Rows | None:
    """Read every file of a channel; None if there is none. Raises UserError."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    text = "\n".join(file.read_text() for file in files)
    if not text.strip():
        return None
    if format_of(content_type) == "libsvm":
        return parse_libsvm(text)
    table = parse_csv(text)
    first = 2 if weighted else 1
    if table.shape[1] <= first:
        raise UserError("The CSV data need a label column and at least one feature.")
    weight = table[:, 1] if weighted else None
    return Rows(table[:, first:], table[:, 0], weight)


def parse_csv(text: str) -> Any:
    """Return an array of rows; an empty field is a missing value. Raises UserError."""
    lines = [line for line in text.splitlines() if line.strip()]
    try:
        return _load(lines)
    except ValueError:  # most likely empty fields, which cost a pass of their own
        try:
            return _load([_EMPTY_FIELD.sub("nan", line) for line in lines])
        except ValueError as error:
            raise UserError(f"Failed to load csv data with exception:\n{error}") from error


def _load(lines: list[str]) -> Any:
    return np.loadtxt(lines, delimiter=",", dtype=np.float32, ndmin=2)


def parse_libsvm(text: str, labelled: bool = True) -> Rows:
    """Read `label[:weight] [qid:n] index:value ...` lines; without labels, one that is there anyway
    is passed over. Raises UserError.
    """
    labels, weights, groups = [], [], []
    values: list[float] = []
    columns: list[int] = []
    ends = [0]
    try:
        for line in filter(None, map(str.strip, text.splitlines())):
            fields = line.partition("#")[0].split()
            if fields and (labelled or ":" not in fields[0]):
                label, _, weight = fields.pop(0).partition(":")
                labels.append(float(label))
                weights.append(float(weight or 1))
            for field in fields:
                name, _, value = field.partition(":")
                if name == "qid":
                    groups.append(int(value))
                else:
                    columns.append(int(name))
                    values.append(float(value))
            ends.append(len(values))
    except ValueError as error:
        raise UserError(f"Failed to load libsvm data with exception:\n{error}") from error
    rows = len(ends) - 1
    shape = (rows, max(columns, default=0) + 1)
    x = csr_matrix((np.array(values, np.float32), columns, ends), shape=shape)
    if groups and len(groups) != rows:
        raise UserError("Failed to load libsvm data with exception:\nsome lines have no qid")
    weighted = any(weight != 1 for weight in weights)
    return Rows(
        x,
        np.array(labels) if labelled else None,
        np.array(weights) if weighted else None,
        np.array(groups) if groups else None,
    )
