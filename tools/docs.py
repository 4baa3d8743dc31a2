"""Writes the reference pages of docs/ and the schema of model.yaml, from the code.

python tools/docs.py            writes them
python tools/docs.py --check    ends with 1, naming each page that is not as the code has it
"""

import argparse
import sys
from pathlib import Path

from reference import cli, events, model_yaml, settings

ROOT = Path(__file__).parents[1]
PAGES = {
    "docs/cli.md": cli.page,
    "docs/events.md": events.page,
    "docs/model-yaml.md": model_yaml.page,
    "docs/settings.md": settings.page,
    "schema/model.schema.json": model_yaml.schema_text,
}


def main() -> int:
    """Write or check every page; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; say what is stale")
    parser.add_argument("--into", type=Path, default=ROOT, help="where docs/ and schema/ are")
    options = parser.parse_args()
    stale = []
    for name, write in PAGES.items():
        path, text = options.into / name, write(ROOT)
        if path.exists() and path.read_text() == text:
            continue
        stale.append(name)
        if not options.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    for name in stale:
        sys.stdout.write(f"{name} {'is stale: run `make docs`' if options.check else 'written'}\n")
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
