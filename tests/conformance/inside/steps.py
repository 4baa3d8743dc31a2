"""What a scenario says while it runs: which call comes next."""

import json
import os
from pathlib import Path


def step(call: str, bug: str = "") -> None:
    """Begin a row of the table; it ends where the next begins, and works if nothing was raised.

    `bug` says what the client itself does wrong here: the row then shows that instead.
    """
    with Path(os.environ["CONFORMANCE_STEPS"]).open("a") as steps:
        steps.write(json.dumps({"call": call, "bug": bug}) + "\n")
