"""The entry point of the command line: `headrace = headrace_cli.main:app`."""

from headrace_cli.app import app
from headrace_cli.commands import (
    demo,
    doctor,
    drops,
    environment,
    feedback,
    history,
    inference,
    logs,
    monitoring,
    outcomes,
    projects,
    registry,
    reports,
    retraining,
    rollout,
    runs,
    status,
)

__all__ = [
    "app",
    "demo",
    "doctor",
    "drops",
    "environment",
    "feedback",
    "history",
    "inference",
    "logs",
    "monitoring",
    "outcomes",
    "projects",
    "registry",
    "reports",
    "retraining",
    "rollout",
    "runs",
    "status",
]
