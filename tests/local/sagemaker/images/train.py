"""A training container: reports what it was given, then behaves as asked."""

import json
import os
import signal
import sys
import time
from pathlib import Path

base = Path(os.environ["SAGEMAKER_BASE_DIR"])
model, output = base / "model", base / "output"
hyperparameters = json.loads((base / "input/config/hyperparameters.json").read_text())
behaviour = hyperparameters.get("behaviour", "succeed")


def save(*_: object) -> None:
    (model / "saved").write_text("in time")
    sys.exit(0)


if behaviour == "save on stop":
    signal.signal(signal.SIGTERM, save)
if behaviour == "ignore stop":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

files = [path for path in sorted((base / "input").rglob("*")) if path.is_file()]
interfaces = Path("/proc/net/dev").read_text().splitlines()[2:]
report = {
    "files": {str(path.relative_to(base)): path.read_text() for path in files},
    "environment": dict(os.environ),
    "interfaces": [line.split(":")[0].strip() for line in interfaces],
    "mounted": Path("/opt/ml/input/config/hyperparameters.json").is_file(),
}
(model / "report.json").write_text(json.dumps(report))
(output / "data" / "notes.txt").write_text("kept")
sys.stdout.write("epoch=1 loss=0.5;\n")
sys.stdout.flush()
sys.stderr.write("epoch=2 loss=0.25;\n")

if behaviour == "fail":
    (output / "failure").write_text("the label column is missing")
    sys.exit(4)
if behaviour != "succeed":
    time.sleep(600)
