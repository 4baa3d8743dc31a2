"""Inspects one batch of a drop's files with DuckDB; verdicts go to S3."""

import os
from pathlib import Path
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from headrace.aws.inspections import Inspected, inspect_batch
from headrace.aws.storage import Storage
from headrace.datasets.inspection import Findings, InspectionPlan
from headrace.datasets.settings import InspectionSettings
from headrace_profiling.engine import temporary_engine
from headrace_profiling.quality import Rule, check_file

logger = Logger(service="datasets")


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, int]:
    """Handle `{"model": ..., "drop": ..., "batch": n}`; return how many files were accepted."""
    here = InspectionSettings.from_mapping(os.environ)

    def look(path: Path, folder: Path, plan: InspectionPlan) -> Inspected:
        rules = {
            name: Rule(
                type=column.type,
                nullable=column.nullable,
                minimum=column.minimum,
                maximum=column.maximum,
                values=tuple(column.values) if column.values is not None else None,
            )
            for name, column in plan.columns.items()
        }
        check = check_file(path, plan.file_format, folder, rules, plan.label, engine)
        findings = Findings(
            problem=check.problem,
            rows=check.rows,
            bad_rows=check.bad_rows,
            reasons=check.reasons,
            columns=check.columns,
            excluded=check.excluded,
            profile={name: column.as_dict() for name, column in check.profile.items()},
        )
        return Inspected(findings, check.good_file, check.bad_file)

    storage = Storage.of(here.kms_key_arn)
    of_batch = (event["model"], event["drop"], event["batch"])
    with temporary_engine(here.duckdb_memory_mb) as engine:
        return {"accepted": inspect_batch(*of_batch, here, storage, look)}
