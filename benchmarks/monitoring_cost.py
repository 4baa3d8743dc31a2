"""What monitoring costs on AWS a month: an estimate from published prices and a measured run time.

python -m benchmarks.monitoring_cost [--cpu-seconds 20.5] [--memory-mb 1024]

`python -m benchmarks.monitoring` measures the CPU seconds that a million captured rows take; a
function has a share of a CPU by its memory. Beside it, what Model Monitor's hourly processing jobs
on an ml.m5.xlarge cost. Nothing here was measured on AWS.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

RUNS = 730  # hours of a month
# US East (N. Virginia), USD, on demand, without the free tier, as published in 2024:
# https://aws.amazon.com/lambda/pricing/ (x86), https://aws.amazon.com/step-functions/pricing/
# (Standard), https://aws.amazon.com/s3/pricing/ (Standard), https://aws.amazon.com/cloudwatch/pricing/
# (first 10,000 metrics, standard alarms), https://aws.amazon.com/sagemaker/pricing/ (Processing).
GB_SECOND, INVOCATION, TRANSITION = 0.0000166667, 0.20 / 1e6, 0.025 / 1e3
PUT, GET, STORED_GB = 0.005 / 1e3, 0.0004 / 1e3, 0.023
METRIC, ALARM = 0.30, 0.10
PROCESSING_HOUR = 0.23  # ml.m5.xlarge
PROCESSING_MINUTES = 5  # that a job is billed: an assumption, it is up to the data

MB_OF_A_CPU = 1769  # "Configure Lambda function memory", Lambda developer guide
FILES = 60  # capture files an hour
TRANSITIONS = 7  # statemachines/monitoring.asl.yaml, nothing to announce
STEPS = 3  # AddCaptures, JoinOutcomes, JudgeWindow
STEP_SECONDS = 3.0  # of those that do not read captures; local durations, with room
MONITORS = 4  # that are on by default; two metrics and an alarm each
PARQUET_BYTES = 51  # a captured row of ten columns, once it is parquet
KEPT_DAYS = 90


@dataclass(frozen=True)
class Month:
    """USD a month, by service."""

    lambda_: float
    step_functions: float
    s3: float
    cloudwatch: float

    @property
    def total(self) -> float:
        return self.lambda_ + self.step_functions + self.s3 + self.cloudwatch


def ours(rows_an_hour: int, cpu_seconds: float, memory_mb: int) -> Month:
    """Estimate hourly monitoring of one endpoint, from the CPU seconds of a million rows."""
    reading = rows_an_hour / 1e6 * cpu_seconds / min(1, memory_mb / MB_OF_A_CPU)
    seconds = reading + STEPS * STEP_SECONDS
    objects = FILES * GET + 40 * GET + 8 * PUT
    kept_gb = rows_an_hour * 24 * KEPT_DAYS * PARQUET_BYTES / 1e9
    return Month(
        RUNS * (seconds * memory_mb / 1024 * GB_SECOND + STEPS * INVOCATION),
        RUNS * TRANSITIONS * TRANSITION,
        RUNS * objects + kept_gb * STORED_GB,
        MONITORS * (2 * METRIC + ALARM),
    )


def model_monitor(monitors: int) -> float:
    """Estimate hourly processing jobs, alone."""
    return RUNS * monitors * PROCESSING_MINUTES / 60 * PROCESSING_HOUR


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cpu-seconds", type=float, default=20.5)
    parser.add_argument("--memory-mb", type=int, default=1024)
    arguments = parser.parse_args()
    print("Estimates: published prices, local run times; not measured on AWS.")
    print("| captured rows | Lambda | Step Functions | S3 | CloudWatch | USD a month |")
    print("|---|---|---|---|---|---|")
    for words, rows in (("100,000 a day", 100_000 // 24), ("1,000,000 an hour", 1_000_000)):
        found = ours(rows, arguments.cpu_seconds, arguments.memory_mb)
        print(
            f"| {words} | {found.lambda_:.2f} | {found.step_functions:.2f} | {found.s3:.2f} "
            f"| {found.cloudwatch:.2f} | {found.total:.2f} |"
        )
    for monitors in (1, MONITORS):
        words = f"Model Monitor's jobs alone, {monitors} x {PROCESSING_MINUTES} min an hour"
        print(f"| {words} | | | | | {model_monitor(monitors):.2f} |")


if __name__ == "__main__":
    main()
