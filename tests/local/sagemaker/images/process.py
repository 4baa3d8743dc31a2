"""A processing container: copies its input upside down and leaves a message."""

import json
import os
import sys
from pathlib import Path

base = Path(os.environ["SAGEMAKER_BASE_DIR"])
config = json.loads((base / "config/processingjobconfig.json").read_text())
(base / "output").mkdir(exist_ok=True)
(base / "output/message").write_text(f"arguments: {sys.argv[1:]}")
if os.environ.get("FAIL"):
    sys.exit(2)
for file in sorted((base / "processing/input").rglob("*.txt")):
    (base / "processing/output" / file.name).write_text(file.read_text()[::-1])
(base / "processing/output/config.json").write_text(json.dumps(config))
