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

    def payload(self, record: bytes) -> bytes:
        """Return what the model is sent of a record. Raises JoinError, PathError."""
        if self.input_filter.is_root:
            return record
        newline = b"\n" if record.endswith(b"\n") else b""
        return self._write(self.input_filter.select(self._read(record))) + newline

    def results(self, records: list[bytes], answer: bytes) -> list[bytes]:
        """Return a batch's output, one result a record. Raises JoinError, PathError."""
        if len(records) == 1 and not self.is_csv:
            answers = [answer]
        else:
            answers = [line for line in answer.splitlines() if line.strip()]
        if len(answers) != len(records):
            raise JoinError(
                f"the model answered {len(answers)} results to {len(records)} records: they cannot "
                "be associated"
            )
        return [self._result(*pair) for pair in zip(records, answers, strict=True)]

    def _result(self, record: bytes, answer: bytes) -> bytes:
        value = self._read(answer)
        if self.join:
            value = self._joined(self._read(record), value)
        return self._write(self._identified(self.output_filter.select(value)))

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
            return [*(value if isinstance(value, list) else [value]), identity, self.started]
        named = {"SageMakerInferenceId": identity, "SageMakerInferenceTime": self.started}
        return {**value, **named} if isinstance(value, dict) else {OUTPUT: value, **named}

    def _read(self, text: bytes) -> Any:
        try:
            decoded = text.decode()
            return next(csv.reader([decoded.rstrip("\r\n")])) if self.is_csv else json.loads(text)
        except (ValueError, csv.Error, StopIteration) as error:
            kind = "CSV" if self.is_csv else "JSON"
            raise JoinError(f"{text[:100]!r} is not {kind}: {error}") from error

    def _write(self, value: Any) -> bytes:
        if not self.is_csv:
            return json.dumps(value).encode()
        line = io.StringIO()
        row = value if isinstance(value, list) else [value]
        csv.writer(line, lineterminator="").writerow(row)
        return line.getvalue().encode()
