"""`smspark-submit` of the local Spark image: the PySpark that is installed, on this machine alone.

Source: "Data Processing with Apache Spark" of the developer guide, and spark-submit's own options.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from headrace_images import contract


def main(arguments: list[str]) -> int:
    """Run spark-submit; return its exit code, 1 if Spark is not installed here."""
    package = importlib.util.find_spec("pyspark")
    if package is None or package.origin is None:
        contract.log(f"Spark does not run: {contract.advice('pyspark')}")
        return 1
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        contract.log("Spark does not run: there is no Java here; install a JRE, or set JAVA_HOME")
        return 1
    submit = Path(package.origin).parent / "bin" / "spark-submit"
    argv = [str(submit), *options(arguments)]
    contract.log(" ".join(argv))
    process = subprocess.Popen(argv)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    return process.wait()


def options(arguments: list[str]) -> list[str]:
    """Return spark-submit's arguments: what only SageMaker's launcher knows is left out."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("--local-spark-event-logs-dir", "--spark-event-logs-s3-uri"):
        parser.add_argument(name)
    for name in ("--class", "--jars", "--py-files", "--files"):
        parser.add_argument(name)
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("application", nargs=argparse.REMAINDER)
    known = vars(parser.parse_args(arguments))
    kept: list[str] = ["--master", "local[*]"]
    for name in ("class", "jars", "py_files", "files"):
        if known[name]:
            kept += [f"--{name.replace('_', '-')}", known[name]]
    if folder := known["local_spark_event_logs_dir"]:
        kept += ["--conf", "spark.eventLog.enabled=true", "--conf", f"spark.eventLog.dir={folder}"]
    application = [str(contract.local(part)) for part in known["application"]]
    return [*kept, *_configuration(), *application]


def _configuration() -> list[str]:
    """Return the job's configuration.json (a list of classifications) as --conf options."""
    file = contract.base() / "processing" / "input" / "conf" / "configuration.json"
    if not file.is_file():
        return []
    found = json.loads(file.read_text())
    return [
        part
        for entry in (found if isinstance(found, list) else [found])
        if entry.get("Classification") == "spark-defaults"
        for name, value in entry.get("Properties", {}).items()
        for part in ("--conf", f"{name}={value}")
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
