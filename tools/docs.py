"""Writes the reference pages of docs/ and the schema of model.yaml, from the code.

python tools/docs.py            writes them
python tools/docs.py --check    ends with 1, naming each page that is not as the code has it
"""

import argparse
import sys
from pathlib import Path

from reference import cli, events, model_yaml, operations, settings

ROOT = Path(__file__).parents[1]
PAGES = {
    "docs/cli.md": cli.page,
    "docs/events.md": events.page,
    "docs/local-operations.md": operations.page,
    "docs/model-yaml.md": model_yaml.page,
    "docs/settings.md": settings.page,
    "schema/model.schema.json": model_yaml.schema_text,
}


def stale(into: Path) -> dict[str, str]:
    """Return the text of every page that is not in `into` as the code has it, by its name."""
    pages = {name: write(ROOT) for name, write in PAGES.items()}
    return {
        name: text
        for name, text in pages.items()
        if not (into / name).exists() or (into / name).read_text() != text
    }


def main() -> int:
    """Write or check every page; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; say what is stale")
    options = parser.parse_args()
    pages = stale(ROOT)
    for name, text in pages.items():
        if options.check:
            sys.stdout.write(f"{name} is stale: run `make docs`\n")
        else:
            (ROOT / name).parent.mkdir(exist_ok=True)
            (ROOT / name).write_text(text)
            sys.stdout.write(f"{name} written\n")
    return 1 if pages and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
