"""Ask the oracles, and keep their answers where tests compare ours with them.

python -m benchmarks.oracles

Makes their environments the first time (some minutes and 3 GB) and writes
tests/unit/profiling/oracles.json.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from benchmarks.environments import ROOT, install, python
from benchmarks.oracles.questions import SEED

ENVIRONMENTS = {
    "evidently": "bench-evidently",
    "nannyml": "bench-nannyml",
    "smclarify": "bench-oracles",
    "fairlearn": "bench-oracles",
    "shap": "bench-oracles",
}
KEPT = ROOT / "tests/unit/profiling/oracles.json"


def main() -> None:
    problems = {name: install(name) for name in sorted({*ENVIRONMENTS.values()})}
    if any(problems.values()):
        raise SystemExit(f"Not all oracles are here: {problems}")
    script = Path(__file__).parent / "answers.py"
    found = {}
    for library, environment in ENVIRONMENTS.items():
        command = [python(environment), script, library]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found[library] = json.loads(said.splitlines()[-1])
    kept = {"made_by": "python -m benchmarks.oracles", "seed": SEED, **found}
    KEPT.write_text(json.dumps(kept, separators=(",", ":")) + "\n")
    print({library: answer["version"] for library, answer in found.items()})


if __name__ == "__main__":
    main()
