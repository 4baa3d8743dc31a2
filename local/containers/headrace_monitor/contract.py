"""What the environment says a run is to do."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MESSAGE = "/opt/ml/output/message"
METRICS = "/opt/ml/output/metrics/cloudwatch/cloudwatch_metrics.jsonl"


class MonitorError(Exception):
    """The run cannot be done; the message says why and what to change."""


@dataclass(frozen=True)
class Contract:
    """One run's environment."""

    variables: Mapping[str, str]

    def text(self, name: str, default: str = "") -> str:
        """Return a variable."""
        return self.variables.get(name, default)

    def required(self, name: str) -> str:
        """Return a variable that a run cannot do without. Raises MonitorError."""
        if not self.text(name):
            raise MonitorError(f"The environment variable {name} is missing")
        return self.variables[name]

    def document(self, name: str) -> dict[str, Any] | None:
        """Return the JSON file that a variable names, None if it names none."""
        if not self.text(name):
            return None
        file = place(self.variables[name])
        try:
            document: dict[str, Any] = json.loads(file.read_text())
        except (OSError, ValueError) as error:
            raise MonitorError(f"{name}: {file.name} cannot be read: {error}") from error
        return document

    @property
    def form(self) -> tuple[str, dict[str, Any]]:
        """Return the dataset's format and its options, such as ("csv", {"header": True})."""
        try:
            formats = json.loads(self.required("dataset_format"))
            name = next(key for key in formats if key != "compression")
        except (ValueError, StopIteration, TypeError) as error:
            raise MonitorError("dataset_format is not a JSON object that names a format") from error
        return name, formats[name] or {}

    @property
    def publishes(self) -> bool:
        """Whether metrics are wanted."""
        return self.text("publish_cloudwatch_metrics", "Disabled") == "Enabled"


def place(path: str) -> Path:
    """Return where a path below /opt/ml is: machines without namespaces have it elsewhere."""
    base = os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml")
    if path == "/opt/ml" or path.startswith("/opt/ml/"):
        return Path(base + path.removeprefix("/opt/ml"))
    return Path(path)


def write_json(path: Path, document: Any) -> None:
    """Write a report."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1))
