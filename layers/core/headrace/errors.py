"""Faults, as opposed to verdicts: what a state machine may name in Retry or Catch.

HeadraceError
├── AwsBusyError            AWS throttles, fails or does not answer: try again later
├── SettingsError           the environment lacks a setting, or it makes no sense
├── ProjectError            model.yaml or its archive cannot be used
├── ArchiveError            an archive is damaged, or unpacks to more than its cap
├── DropError               a key, manifest or file of a drop cannot be understood
├── TrainingError           a run cannot be planned, or its outputs cannot be read
├── DeploymentError         a package cannot be deployed, or an endpoint does not serve it
│   ├── EndpointBusyError   the endpoint is being updated: try again later
│   └── LockLostError       somebody else has the endpoint's lock by now: stop here
├── MonitoringError         a baseline, slot or report cannot be read
│   └── SlotBusyError       others write the same slot all the time: try again later
├── AnnouncementError       EventBridge did not take an event
└── LedgerError             the ledger holds something that should not be there
    └── LedgerBusyError     others write the same records all the time: try again later

A rejected dataset or a candidate that is not better is none of these: it is a verdict.
"""


class HeadraceError(Exception):
    """Base of every error raised on purpose. Its message says what, where, why, and what to do."""


class AwsBusyError(HeadraceError):
    """AWS throttled, failed or did not answer for longer than a client tries; retry later."""


class SettingsError(HeadraceError):
    """A setting is missing or makes no sense."""


class ProjectError(HeadraceError):
    """A model project cannot be used."""


class ArchiveError(HeadraceError):
    """An archive cannot be read, or unpacks to more than it may."""


class DropError(HeadraceError):
    """Something of a drop cannot be understood."""


class TrainingError(HeadraceError):
    """A run cannot be planned, or its outputs cannot be read."""


class DeploymentError(HeadraceError):
    """A package cannot be deployed, or an endpoint does not serve what was asked."""


class EndpointBusyError(DeploymentError):
    """The endpoint is being created or updated by somebody else; retry later."""


class LockLostError(DeploymentError):
    """The lock on the endpoint ran out, and another deployment has it: touch nothing more."""


class MonitoringError(HeadraceError):
    """Something that monitoring compares or adds up cannot be read."""


class SlotBusyError(MonitoringError):
    """Others write the same slot document all the time; retry later."""


class AnnouncementError(HeadraceError):
    """EventBridge did not take an event."""


class LedgerError(HeadraceError):
    """The ledger holds something that should not be there."""


class LedgerBusyError(LedgerError):
    """Others write the same records all the time; retry later."""
