"""`python -m local --state DIR --port PORT`: serve AWS on loopback until SIGTERM or Ctrl-C."""

import argparse
import sys
from pathlib import Path

from local.settings import Settings, StateInUseError


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and serve; the exit code says whether it could."""
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="folder that holds all state")
    parser.add_argument("--port", type=int, default=0, help="TCP port on 127.0.0.1; 0 picks one")
    options = parser.parse_args(arguments)
    # Imported late: MiniStack reads the environment that `run` prepares while it is imported.
    from local.ministack.process import run

    try:
        run(Settings.load(options.state, options.port))
    except StateInUseError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
