"""The one instance this process serves, for corrections that replace module-level functions."""

import threading

from local.settings import Settings

# Set whenever something may have changed that a restart must find.
activity = threading.Event()
_settings: list[Settings] = []


def begin(settings: Settings) -> None:
    """Remember the settings; once, before any correction is installed."""
    _settings.append(settings)


def settings() -> Settings:
    """The settings of this instance."""
    return _settings[0]
