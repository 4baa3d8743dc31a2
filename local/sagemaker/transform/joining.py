"""DataProcessing: what of a record the model sees, and what of both goes to the output.

Source: "Associate Prediction Results with Input Records" and, for inference ids, "Capture data from
batch transform job" of the developer guide.
"""

from __future__ import annotations

import csv
import io
import json
import uuid
from dataclasses import dataclass
from typing import Any

from local.sagemaker.transform.jsonpath import Path

OUTPUT, INPUT = "SageMakerOutput", "SageMakerInput"


class JoinError(Exception):
    """A record or an answer is not what DataProcessing can work with."""


@dataclass(frozen=True)
class Joining:
    """A job's filters and join; `started` (ISO 8601) stands beside generated inference ids."""

    is_csv: bool
    input_filter: Path
    output_filter: Path
    join: bool
    started: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether requests and answers go through as they are."""
        filters = self.input_filter.is_root and self.output_filter.is_root
        return filters and not self.join and not self.started

    def payload(self, records: list[bytes]) -> bytes:
        """Return what the model is sent of a batch. Raises JoinError, PathError."""
        if self.input_filter.is_root:
            return b"".join(records)
        selected = [self.input_filter.select(value) for value in self._read(records)]
        return self._write(selected, b"\n" if records[0].endswith(b"\n") else b"")

    def results(self, records: list[bytes], answer: bytes, end: bytes) -> bytes:
        """Return a batch's output, one result a record, each followed by `end`.

        Raises JoinError, PathError.
        """
        if len(records) == 1 and not self.is_csv:
            answers = [answer]
        else:
            answers = [line for line in answer.splitlines() if line.strip()]
        if len(answers) != len(records):
            raise JoinError(
                f"the model answered {len(answers)} results to {len(records)} records: they cannot "
                "be associated"
            )
        if self.is_csv and self.join and self.output_filter.is_root and not self.started:
            pairs = zip(records, answers, strict=True)  # rows joined whole need not be read
            return b"".join(given.rstrip(b"\r\n") + b"," + row + end for given, row in pairs)
        values = self._read(answers)
        if self.join:
            values = [self._joined(*pair) for pair in zip(self._read(records), values, strict=True)]
        return self._write(
            [self._identified(self.output_filter.select(value)) for value in values], end
        )

    def _joined(self, given: Any, value: Any) -> Any:
        if self.is_csv:
            return [*given, *value]
        if isinstance(given, dict):
            return {**given, OUTPUT: value}
        return {INPUT: given, OUTPUT: value}

    def _identified(self, value: Any) -> Any:
        if not self.started:
            return value
        identity = str(uuid.uuid4())
        if self.is_csv:
            return [*_row(value), identity, self.started]
        named = {"SageMakerInferenceId": identity, "SageMakerInferenceTime": self.started}
        return {**value, **named} if isinstance(value, dict) else {OUTPUT: value, **named}

    def _read(self, lines: list[bytes]) -> list[Any]:
        try:
            if not self.is_csv:
                return [json.loads(line) for line in lines]
            rows: list[Any] = list(csv.reader(line.decode() for line in lines))
        except (ValueError, csv.Error) as error:
            kind = "CSV" if self.is_csv else "JSON"
            raise JoinError(f"{lines[0][:100]!r} or what follows is not {kind}: {error}") from error
        if len(rows) != len(lines):
            raise JoinError(f"a row after {lines[0][:100]!r} has a newline in it")
        return rows

    def _write(self, values: list[Any], end: bytes) -> bytes:
        if not self.is_csv:
            return b"".join(json.dumps(value).encode() + end for value in values)
        text = io.StringIO()
        csv.writer(text, lineterminator=end.decode()).writerows(map(_row, values))
        return text.getvalue().encode()


def _row(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
