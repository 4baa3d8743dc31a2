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
host = os.environ["SM_CURRENT_HOST"]


def save(*_: object) -> None:
    (model / "saved").write_text("in time")
    sys.exit(0)


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def count() -> None:
    """Count to twelve, a tenth of a second each, keeping the number as a checkpoint."""
    checkpoint = base / "checkpoints" / "number"
    number = int(checkpoint.read_text()) if checkpoint.is_file() else 0
    say(f"began at {number}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(say(f"left at {number}")))
    while number < 12:
        time.sleep(0.1)
        number += 1
        checkpoint.write_text(str(number))
    (model / "number").write_text(str(number))


def read_pipes() -> None:
    """Read two epochs of the channel `train`."""
    for epoch in range(2):
        (model / f"epoch-{epoch}").write_bytes((base / f"input/data/train_{epoch}").read_bytes())


def read_one_pipe() -> None:
    """Read an epoch of the channel `train`, and be content with whatever comes."""
    (model / "epoch-0").write_bytes((base / "input/data/train_0").read_bytes())


def fill() -> None:
    """Take more of the disk than the volume has."""
    with (model / "large").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 2**30 + 2**20)
    time.sleep(600)


def fail_on_the_second_host() -> None:
    (model / f"from-{host}").write_text(host)
    if host == "algo-2":
        (output / "failure").write_text("the second host broke")
        sys.exit(3)
    time.sleep(600)


def leave_a_file_each() -> None:
    (model / f"from-{host}").write_text(" ".join(sorted(json.loads(os.environ["SM_HOSTS"]))))


BEHAVIOURS = {
    "count": count,
    "read pipes": read_pipes,
    "read one pipe": read_one_pipe,
    "fill": fill,
    "fail on the second host": fail_on_the_second_host,
    "a file each": leave_a_file_each,
}

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
    "hosts": Path("/etc/hosts").read_text(),
}
(model / "report.json").write_text(json.dumps(report))
(output / "data" / f"notes-{host}.txt").write_text("kept")
say("epoch=1 loss=0.5;")
sys.stderr.write("epoch=2 loss=0.25;\n")

if behaviour == "fail":
    (output / "failure").write_text("the label column is missing")
    sys.exit(4)
if behaviour in BEHAVIOURS:
    BEHAVIOURS[behaviour]()
elif behaviour != "succeed":
    time.sleep(600)
