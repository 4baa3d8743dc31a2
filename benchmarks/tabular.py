"""How long the tabular image takes: the fused job, the start of a server, one prediction.

python -m benchmarks.tabular

Runs the real `train` and `serve` as processes on six months of loans (30,000 rows), then on two
months more with the first model as the champion. Downloads the example data the first time.
"""

from __future__ import annotations

import http.client
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.containers import jobs
from tools import data

REQUESTS = 2000


def timed_job(base: Path, **arguments):
    start = time.perf_counter()
    job = jobs.train(base, hyperparameters={"max_depth": "5"}, **arguments)
    wall = time.perf_counter() - start
    assert job.code == 0, job.log
    seconds = job.evaluation["seconds"]
    steps = ", ".join(f"{step} {taken:.2f}" for step, taken in seconds.items())
    print(f"{sum(job.evaluation['rows'].values()):,} rows: {wall:.1f} s ({steps})")
    return job


def loopback(endpoint: jobs.Endpoint, body: bytes) -> np.ndarray:
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port)
    taken = []
    for _ in range(REQUESTS):
        start = time.perf_counter()
        connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
        connection.getresponse().read()
        taken.append((time.perf_counter() - start) * 1000)
    return np.quantile(taken[100:], [0.5, 0.99])


def main() -> None:
    months = data.months()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        first = data.write_drop(months[:6], work / "first")
        second = data.write_drop(months[15:17], work / "second")
        champion = timed_job(work / "one", datasets={"v1": ("new", first)})
        both = {"v1": ("known", first), "v2": ("new", second)}
        job = timed_job(work / "two", datasets=both, champion=champion.model)
        latency = job.evaluation["latency_ms"]
        print(f"one row in process: p50 {latency['p50']:.3f} ms, p99 {latency['p99']:.3f} ms")
        with jobs.serving(work / "two") as endpoint:
            print(f"serve ready after {endpoint.seconds_to_ready:.2f} s")
            for rows in (1, 20):
                instances = job.smoke["instances"][:rows]
                p50, p99 = loopback(endpoint, json.dumps({"instances": instances}).encode())
                print(f"{rows} rows over HTTP: p50 {p50:.2f} ms, p99 {p99:.2f} ms")


if __name__ == "__main__":
    main()
