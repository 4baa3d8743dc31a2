"""Joins ground truth to captured requests, by inferenceId if a request has one, else by eventId.

As AWS's ground truth merger: both are JSON lines; what has its truth is written below `output_path`
under the name it was captured under, with `groundTruthData` added ("Ingest Ground Truth Labels and
Merge Them With Predictions").
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any

from headrace_monitor.contract import MESSAGE, Contract, MonitorError, place
from headrace_monitor.records import captured_lines, data_files

logger = logging.getLogger("merge")


def main() -> int:
    """Join; the exit code is the container's."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stdout)
    contract = Contract(os.environ)
    try:
        merged = merge(contract)
    except MonitorError as error:
        logger.error("%s", error)
        place(MESSAGE).write_text(f"Failed: {error}")
        return 1
    place(MESSAGE).write_text(f"Completed: {merged} records have ground truth.")
    return 0


def merge(contract: Contract) -> int:
    """Write the joined records; return how many. Raises MonitorError if there are none."""
    truths = _truths(contract)
    source = place(contract.required("dataset_source"))
    output = place(contract.required("output_path"))
    count = total = 0
    for file in data_files(contract):
        lines = []
        for record in captured_lines([file], contract):
            total += 1
            metadata = record["eventMetadata"]
            truth = truths.get(str(metadata.get("inferenceId") or metadata.get("eventId")))
            if truth is not None:
                lines.append(json.dumps({**record, "groundTruthData": truth}) + "\n")
        if lines:
            target = output / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text("".join(lines))
        count += len(lines)
    if not count:
        raise MonitorError(f"None of {total} captured records has ground truth")
    logger.info("%d of %d captured records have ground truth", count, total)
    return count


def _truths(contract: Contract) -> dict[str, dict[str, Any]]:
    folder = place(contract.required("ground_truth_source"))
    truths = {}
    for file in sorted(f for f in folder.rglob("*") if f.is_file()):
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
                truths[str(record["eventMetadata"]["eventId"])] = record["groundTruthData"]
            except (ValueError, KeyError, TypeError) as error:
                raise MonitorError(f"{file.name}:{number} is not a ground truth record") from error
    return truths


if __name__ == "__main__":
    sys.exit(main())
