"""What the sections of model.yaml share: strictness, and durations as people write them."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Section(BaseModel):
    """A section of model.yaml: frozen, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def seconds(value: Any) -> int:
    """Return a duration in seconds: `90s`, `10m`, `2h`, `7d`, or a whole number of seconds."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = re.fullmatch(r"(\d+)([smhd])", str(value).strip())
    if found is None:
        raise ValueError(f"{value!r} is no duration: write 90s, 10m, 2h or 7d")
    return int(found[1]) * _SECONDS[found[2]]


def lasting(text: str) -> Any:
    """Return a default as people write it, so that the documentation shows `10m`, not 600."""
    return text


def in_words(duration: float) -> str:
    """Return a duration in seconds as people say it: `10 min`, `2 h`."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if duration >= size and not duration % size:
            return f"{duration / size:g} {unit}"
    return f"{duration:g} s" if duration < 600 else f"{duration / 60:.0f} min"


Duration = Annotated[
    int,
    BeforeValidator(seconds),
    WithJsonSchema({"type": ["string", "integer"], "pattern": r"^\d+[smhd]$"}),
]
