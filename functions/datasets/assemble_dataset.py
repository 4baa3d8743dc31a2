"""Last step of the datasets machine: a dataset version named by its contents, or quarantine."""

from collections.abc import Sequence
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from headrace.aws.datasets import assemble_dataset
from headrace.aws.drops import Drops
from headrace.aws.storage import Storage
from headrace.settings import settings
from headrace_profiling.columns import ColumnProfile
from headrace_profiling.profiles import merge_columns

logger = Logger(service="datasets")


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Handle `{"model": ..., "drop": ...}`; return the fact that the machine announces."""
    here = settings()
    verdict = assemble_dataset(
        event["model"],
        event["drop"],
        _merge_profiles,
        here,
        Drops.of(here.ledger_table),
        Storage.of(here.kms_key_arn),
    )
    logger.info(type(verdict).__name__, extra=verdict.model_dump())
    return {"outcome": type(verdict).__name__, "fact": verdict.model_dump()}


def _merge_profiles(profiles: Sequence[dict[str, Any]]) -> dict[str, Any]:
    parsed = [
        {name: ColumnProfile.from_dict(column) for name, column in profile.items()}
        for profile in profiles
    ]
    return {name: column.as_dict() for name, column in merge_columns(parsed).items()}
