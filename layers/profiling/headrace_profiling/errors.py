"""What can go wrong; every message says what to do next."""


class ProfilingError(Exception):
    """Any error of this library."""


class SourceError(ProfilingError):
    """The source cannot be read or profiled."""


class FormatError(ProfilingError):
    """A document (profile, statistics, constraints) is not what it should be."""
