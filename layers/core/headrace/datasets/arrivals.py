"""Objects that arrive in S3: what their events say, and where they belong."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, ValidationError

from headrace.errors import DropError
from headrace.names import MODEL_MAX_LENGTH, MODEL_PATTERN, digest

H = TypeVar("H")

MANIFEST = "_manifest.json"
SUCCESS = "_SUCCESS"
CONTROL_FILES = frozenset({MANIFEST, SUCCESS})
PREFIX = "drops/"
NOWHERE = "_"  # stands for model and drop of an object that belongs to none
_DROP = re.compile(r"^[A-Za-z0-9][A-Za-z0-9 ._=+:@-]{0,127}$")
_SEQUENCER_DIGITS = 64


class Arrival(BaseModel):
    """One version of one object, as its S3 event tells (the key is not URL-encoded there)."""

    model_config = ConfigDict(frozen=True)
    key: str
    size: int
    etag: str
    sequencer: str
    version_id: str | None

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> Self:
        """Read an EventBridge event of S3, detail-type `Object Created`.

        Raises:
            DropError: it is something else.
        """
        try:
            content = event["detail"]["object"]
            return cls(
                key=content["key"],
                # S3 leaves size and etag out of some events (restored or replicated objects).
                size=content.get("size", 0),
                etag=content.get("etag", ""),
                sequencer=pad_sequencer(content["sequencer"]),
                version_id=content.get("version-id"),
            )
        except (KeyError, TypeError, AttributeError, ValidationError) as error:
            raise DropError(
                f"Not an S3 `Object Created` event from EventBridge: {error!r}. "
                "Only the rule for drops may send here."
            ) from error


@dataclass(frozen=True)
class Place:
    """The drop an object belongs to, and its path inside it."""

    model: str
    drop: str
    path: str

    @property
    def is_control(self) -> bool:
        """Whether the object says something about the drop instead of being data."""
        return self.path in CONTROL_FILES


def pad_sequencer(sequencer: str) -> str:
    """Return a sequencer that compares as text with any other of the same key.

    Sequencers are hexadecimal and differ in length: the shorter is padded with zeros on its right
    (S3 User Guide, "Event message structure").
    """
    return sequencer.upper().ljust(_SEQUENCER_DIGITS, "0")


def sequencer_after(sequencer: str) -> str:
    """Return a sequencer just after a padded one, and before any that S3 gives later.

    For an object found by listing, whose own event was lost.
    """
    return f"{int(sequencer, 16) + 1:0{_SEQUENCER_DIGITS}X}"


NO_SEQUENCER = pad_sequencer("")


def is_folder_marker(key: str, size: int) -> bool:
    """Tell whether an object is what consoles write to show an empty folder: no data, no name."""
    return size == 0 and key.endswith("/")


def place(key: str) -> Place:
    """Return where `drops/<model>/<drop>/<path>` belongs.

    Raises:
        DropError: it cannot belong to any drop; the message is the reason for quarantine.
    """
    parts = key.removeprefix(PREFIX).split("/", 2) if key.startswith(PREFIX) else []
    if len(parts) < 3 or not all(parts):
        raise DropError(
            f"{key!r} lies in no drop: expected drops/<model>/<drop>/<file>. "
            "Drop it again under a model and the name of a drop."
        )
    model, drop, path = parts
    if len(model) > MODEL_MAX_LENGTH or not re.match(MODEL_PATTERN, model):
        raise DropError(
            f"{model!r} in {key!r} cannot be the name of a model: small letters, digits and "
            f"hyphens, at most {MODEL_MAX_LENGTH}."
        )
    if not _DROP.match(drop):
        raise DropError(
            f"{drop!r} in {key!r} cannot be the name of a drop: a letter or digit first, then "
            "letters, digits, spaces or any of ._=+:@- , at most 128."
        )
    if _is_tricky(path):
        raise DropError(
            f"{key!r} has a path that could lead elsewhere: no '.', '..' or empty folders and no "
            "control characters, please."
        )
    return Place(model, drop, path)


def belongs_to_a_drop(key: str) -> bool:
    """Tell whether `place` would find a place."""
    try:
        place(key)
    except DropError:
        return False
    return True


def quarantine_key(key: str, stray_version: str | None = None) -> str:
    """Return where in the quarantine bucket a refused object goes: `<model>/<drop>/<path>`.

    A stray (it came after its drop was sealed) keeps out of the way of the object it follows. What
    belongs nowhere goes under `_/_/`, with anything a path could be tricked by percent-encoded.
    """
    try:
        found = place(key)
    except DropError:
        return f"{NOWHERE}/{NOWHERE}/{'/'.join(_harmless(part) for part in key.split('/'))}"
    if stray_version is None:
        return f"{found.model}/{found.drop}/{found.path}"
    return f"{found.model}/{found.drop}/_late/{digest(stray_version)}/{found.path}"


def newest(arrivals: Iterable[Arrival]) -> dict[str, Arrival]:
    """Return the newest arrival of each key, whatever their order and however many duplicates."""
    found: dict[str, Arrival] = {}
    for arrival in arrivals:
        known = found.get(arrival.key)
        if known is None or arrival.sequencer > known.sequencer:
            found[arrival.key] = arrival
    return found


def group(arrivals: Iterable[tuple[H, Arrival]]) -> list[list[tuple[H, Arrival]]]:
    """Group arrivals by drop, each with the handle its caller knows it by.

    What belongs nowhere is alone, so that it holds up nobody.
    """
    groups: dict[tuple[str, str], list[tuple[H, Arrival]]] = {}
    for handle, arrival in arrivals:
        try:
            where = place(arrival.key)
            drop = (where.model, where.drop)
        except DropError:
            drop = (NOWHERE, arrival.key)
        groups.setdefault(drop, []).append((handle, arrival))
    return list(groups.values())


def _is_tricky(path: str) -> bool:
    return any(part in {"", ".", ".."} for part in path.split("/")) or any(
        ord(character) < 32 or ord(character) == 127 for character in path
    )


def _harmless(part: str) -> str:
    if part in {".", ".."}:
        return part.replace(".", "%2E")
    # A lone percent sign stands for nothing else: every other one is followed by two digits.
    return quote(part, safe=" !$&'()+,;=@~") if part else "%"
