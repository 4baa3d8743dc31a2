"""The drops of the story, made from the example data as `tools/data.py` makes them."""

import importlib.util
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from headrace.datasets.arrivals import MANIFEST
from headrace_cli.drops import collect, manifest_of
from headrace_cli.environments import ROOT
from headrace_cli.errors import FailedError
from headrace_cli.inference import Row, read_rows

MODEL = "credit-risk"
_FILES = 4
LABEL = "defaulted"
_REQUESTS = 500
_NEW_RANGE = "80K - 100K €"
_POISON = b"PAR1 this was a spreadsheet once, before somebody renamed it PAR1"


@dataclass(frozen=True)
class Story:
    """One folder for each drop, and rows nobody has trained on to predict for."""

    folder: Path
    first: Path
    second: Path
    damaged: Path
    flipped: Path
    third: Path
    fourth: Path
    fifth: Path
    unseen: Path
    moved: Path
    later: Path
    poisoned: str
    changed: str


def prepare(folder: Path) -> Story:
    """Write all drops of the story.

    Raises:
        FailedError: the example data cannot be had.
    """
    tool = _tool()
    try:
        months = tool.months()
        first, second = folder / "first", folder / "second"
        damaged, flipped, unseen = folder / "damaged", folder / "flipped", folder / "unseen"
        third, fourth, fifth = folder / "third", folder / "fourth", folder / "fifth"
        moved, later = folder / "moved", folder / "later"
        tool.write_drop(months[0:3], first, _FILES)
        tool.write_drop(months[3:6], second, _FILES)
        tool.write_drop(months[6:7], damaged, _FILES)
        tool.write_drop(months[7:10], flipped, _FILES, flip_labels=True)
        tool.write_drop(months[10:11], unseen, 1)
        tool.write_drop(months[11:12], third, 1)
        tool.write_drop(months[12:13], fourth, 1)
        # In April 2019 the cars became dearer.
        tool.write_drop(months[15:18], fifth, 1)
        tool.write_drop(months[18:19], moved, 1)
        tool.write_drop(months[19:20], later, 1)
    except tool.DataFetchError as error:
        raise FailedError(str(error), "python tools/data.py fetch") from error
    files = sorted(damaged.iterdir())
    poisoned, changed = files[1], files[2]
    # One file was never parquet; its manifest is honest about the bytes.
    poisoned.write_bytes(_POISON)
    manifest = manifest_of(collect([damaged])).model_dump_json(exclude_none=True)
    (damaged / MANIFEST).write_text(manifest)
    # The other changes on its way, after the manifest was written.
    content = bytearray(changed.read_bytes())
    content[len(content) // 2] ^= 0xFF
    changed.write_bytes(content)
    return Story(
        *(folder, first, second, damaged, flipped, third, fourth, fifth, unseen, moved, later),
        poisoned=poisoned.name,
        changed=changed.name,
    )


def requests(story: Story) -> list[Row]:
    """Return rows as customers send them."""
    return without_label(read_known(story.unseen)[:_REQUESTS])


def read_known(folder: Path) -> list[Row]:
    """Return the rows of a folder's only file, with how they turned out."""
    (path,) = collect([folder]).values()
    return read_rows(path)


def without_label(rows: Sequence[Row]) -> list[Row]:
    """Return rows as customers send them: how they turn out, nobody knows yet."""
    return [{k: v for k, v in row.items() if k != LABEL} for row in rows]


def requests_of_today(story: Story) -> list[Row]:
    """Return rows among which every tenth has a salary range that no drop has held yet."""
    return [
        row | {"salary_range": _NEW_RANGE} if number % 10 == 0 else row
        for number, row in enumerate(requests(story))
    ]


def project(story: Story, name: str, changes: Mapping[str, Sequence[tuple[str, str]]]) -> Path:
    """Write a version of the model's project in which `changes` replace texts of files.

    Raises:
        FailedError: a file lacks the text, so the story would be another.
    """
    folder = story.folder / name
    shutil.copytree(ROOT / "models" / MODEL, folder)
    for file, replacements in changes.items():
        content = (folder / file).read_text()
        for old, new in replacements:
            if old not in content:
                raise FailedError(f"models/{MODEL}/{file} has no {old!r}, which the demo changes.")
            content = content.replace(old, new)
        (folder / file).write_text(content)
    return folder


def _tool() -> ModuleType:
    """Import tools/data.py, which is a script of the clone and belongs to no package."""
    path = ROOT / "tools" / "data.py"
    spec = importlib.util.spec_from_file_location("headrace_example_data", path)
    if spec is None or spec.loader is None or not path.exists():
        raise FailedError(f"There is no {path}.", "Run the demo from a clone of Headrace.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
