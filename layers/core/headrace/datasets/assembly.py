"""What a drop comes to: a dataset version named by its contents, or nothing that can be used."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headrace.datasets.inspection import FileVerdict

VERSION_LENGTH = 16
_WIDTH = {"null": 0, "number": 2}  # any other type: 1


@dataclass(frozen=True)
class Assembly:
    """The verdict on a drop. Without a `version` nothing of it could be used."""

    version: str | None
    verdicts: tuple[FileVerdict, ...]
    columns: Mapping[str, str]
    reasons: tuple[str, ...]

    @property
    def accepted(self) -> tuple[FileVerdict, ...]:
        """The files of the dataset version."""
        return tuple(verdict for verdict in self.verdicts if verdict.accepted)

    @property
    def rows(self) -> int:
        """Rows of the dataset version."""
        return sum(verdict.rows for verdict in self.accepted)

    @property
    def quarantined_rows(self) -> int:
        """Rows left out of files that were accepted otherwise."""
        return sum(verdict.quarantined_rows for verdict in self.accepted)

    @property
    def quarantined_files(self) -> int:
        """Files refused as a whole."""
        return len(self.verdicts) - len(self.accepted)


def dataset_version(content_hashes: Sequence[str]) -> str:
    """Name a dataset version: the same contents give the same name, whatever else differs."""
    text = "\n".join(sorted(content_hashes))
    return hashlib.sha256(text.encode()).hexdigest()[:VERSION_LENGTH]


def assemble(verdicts: Sequence[FileVerdict]) -> Assembly:
    """Judge a drop by the verdicts on its files.

    The files of a model without a schema must agree among themselves: what most of them look like
    is the rule, so that one odd file does not cost its neighbours.
    """
    ordered = sorted(verdicts, key=lambda v: v.key)
    rule = _typical([v for v in ordered if v.accepted])
    judged = tuple(_must_agree(v, rule) if rule and v.accepted else v for v in ordered)
    columns = _common_columns([v.columns for v in judged if v.accepted])
    hashes = [v.content_hash for v in judged if v.accepted and v.content_hash]
    reasons = tuple(f"{v.key}: {reason}" for v in judged for reason in v.reasons)
    if not ordered:
        reasons = ("The drop holds no data files, only what says that it is complete.",)
    return Assembly(dataset_version(hashes) if hashes else None, judged, columns, reasons)


def file_names(accepted: Sequence[FileVerdict]) -> dict[str, str]:
    """Return the name of each accepted file (by key) in its dataset version.

    Named by content, so that the same version always holds the same objects, and odd characters
    of a drop end here.
    """
    seen: dict[str, int] = {}
    names = {}
    for verdict in sorted(accepted, key=lambda v: v.key):
        stem = f"part-{(verdict.content_hash or '')[:VERSION_LENGTH]}"
        seen[stem] = seen.get(stem, 0) + 1
        names[verdict.key] = f"{stem}{'' if seen[stem] == 1 else f'-{seen[stem]}'}.parquet"
    return names


def _typical(accepted: Sequence[FileVerdict]) -> FileVerdict | None:
    """Return the first file of the commonest columns."""
    looks = Counter(frozenset(verdict.columns.items()) for verdict in accepted)
    return max(accepted, key=lambda v: looks[frozenset(v.columns.items())], default=None)


def _must_agree(verdict: FileVerdict, rule: FileVerdict) -> FileVerdict:
    differences = [
        f"column {name} is {verdict.columns.get(name, 'missing')}, "
        f"{'' if name in rule.columns else 'not '}expected"
        + (f" {rule.columns[name]}" if name in rule.columns else "")
        for name in sorted({*verdict.columns, *rule.columns})
        if not _agree(verdict.columns.get(name), rule.columns.get(name))
    ]
    if not differences:
        return verdict
    reason = f"The schema differs from that of {rule.key}: {'; '.join(differences)}."
    return verdict.model_copy(update={"accepted": False, "reasons": [reason]})


def _common_columns(columns: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return the types that hold for all files: the widest that one of them has."""
    found: dict[str, set[str]] = {}
    for file in columns:
        for name, type_ in file.items():
            found.setdefault(name, set()).add(type_)
    return {name: max(types, key=lambda t: _WIDTH.get(t, 1)) for name, types in found.items()}


def _agree(found: str | None, expected: str | None) -> bool:
    """Columns of nulls agree with any type, and integers with numbers."""
    if found is None or expected is None:
        return found == expected
    numeric = {"integer", "number"}
    return found == expected or "null" in (found, expected) or {found, expected} <= numeric
