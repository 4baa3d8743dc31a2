"""What is in the data and how it changed: mergeable profiles, drift, quality, bias; no AWS.

`profile` looks at files, `Profile` merges and is JSON, `compare` says what changed between two.
`model_monitor` reads and writes Model Monitor's files; `quality` parts good rows from bad ones.
"""

from headrace_profiling.captures import CaptureColumns
from headrace_profiling.columns import ColumnProfile
from headrace_profiling.compare import ColumnComparison, Comparison, compare
from headrace_profiling.errors import FormatError, ProfilingError, SourceError
from headrace_profiling.findings import Finding, Thresholds
from headrace_profiling.profiles import Profile
from headrace_profiling.sources import profile

__all__ = [
    "CaptureColumns",
    "ColumnComparison",
    "ColumnProfile",
    "Comparison",
    "Finding",
    "FormatError",
    "Profile",
    "ProfilingError",
    "SourceError",
    "Thresholds",
    "compare",
    "profile",
]
