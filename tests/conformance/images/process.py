"""A processing container: copies its inputs in capitals, and says how many there were."""

import sys
from pathlib import Path

base = Path("/opt/ml/processing")
files = [path for path in sorted((base / "input").rglob("*")) if path.is_file()]
for file in files:
    (base / "output" / file.name).write_text(file.read_text().upper())
sys.stdout.write(f"processed {len(files)} files with {sys.argv[1:]}\n")
