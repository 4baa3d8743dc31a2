"""A training container: learns the mean of its channel's numbers, printing a metric."""

import json
import statistics
import sys
from pathlib import Path

base = Path("/opt/ml")
hyperparameters = json.loads((base / "input/config/hyperparameters.json").read_text())
sys.stdout.write(f"training with {hyperparameters}\n")
if "fail" in hyperparameters:
    (base / "output/failure").write_text("the label column is missing")
    sys.exit(1)
files = [path for path in (base / "input/data").rglob("*") if path.is_file()]
numbers = [float(part) for path in files for part in path.read_text().replace(",", " ").split()]
depth = float(json.loads(hyperparameters.get("depth", "3")))
sys.stdout.write(f"validation:loss={(depth - 3) ** 2};\n")
(base / "model/text").write_text(str(statistics.fmean(numbers or [0])))
