"""Model Monitor's files: baselines that exist move over, and what reads its reports goes on.

Formats: "Schema for Statistics", "Schema for Constraints" and "Schema for Violations" in the
SageMaker developer guide. Reading and writing is pure: JSON text to values and back.
"""

from headrace_profiling.model_monitor.constraints import (
    Constraints,
    FeatureConstraints,
    MonitoringConfig,
    read_constraints,
    suggest_constraints,
    write_constraints,
)
from headrace_profiling.model_monitor.statistics import read_statistics, write_statistics
from headrace_profiling.model_monitor.violations import (
    Violation,
    check,
    read_violations,
    write_violations,
)

__all__ = [
    "Constraints",
    "FeatureConstraints",
    "MonitoringConfig",
    "Violation",
    "check",
    "read_constraints",
    "read_statistics",
    "read_violations",
    "suggest_constraints",
    "write_constraints",
    "write_statistics",
    "write_violations",
]
