"""What an endpoint adds to its container's answer: `python -m benchmarks.request_path [SECONDS]`.

wrk (https://github.com/wg/wrk; Debian and Homebrew: `wrk`) asks the container itself and the
endpoint in front of it, in turns, over one connection that is kept alive, with the same payload.
The endpoint's requests are signed (SigV4) by an IAM user who may invoke it, so that signature and
policy are checked as they are for any client.
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venv" / "local" / "bin" / "python"
NAME = "request-path"
BODY = "1.0,2.0,3.0,4.0,5.0,6.0,7.0,8.0\n"
ROUNDS = 5
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True)
class Figures:
    """One run of wrk: milliseconds and requests per second."""

    p50: float
    p99: float
    rate: float


def main() -> None:
    """Start a local AWS with one endpoint, measure, and print the table."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    wrk = shutil.which("wrk")
    if wrk is None:
        sys.exit("wrk is not installed; Debian and Ubuntu: `apt-get install wrk`")
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        images = state / "images.yaml"
        command = {"image": "*/echo:*", "python": str(PYTHON), "serve": ["-I", "-S", _echo()]}
        images.write_text(json.dumps([command]))
        process = subprocess.Popen(
            [str(PYTHON), "-m", "local", "--state", str(state / "aws"), "--port", "0"],
            cwd=ROOT,
            env={**os.environ, "HEADRACE_LOCAL_IMAGES": str(images)},
            stderr=subprocess.DEVNULL,
        )
        try:
            facts = _ready(state / "aws" / "local-aws.json", process)
            keys = _furnish(facts)
            direct = _script(state / "direct.lua", "/invocations", {"content-type": "text/csv"})
            path = f"/endpoints/{NAME}/invocations"
            signed = _script(state / "signed.lua", path, _signed(facts, keys, path))
            targets = {
                "the container": (f"http://127.0.0.1:{_port(facts)}", direct),
                "through the endpoint": (facts["endpoint_url"], signed),
            }
            _report(_in_turns(wrk, targets, seconds))
        finally:
            process.terminate()
            process.wait(60)


def _in_turns(
    wrk: str, targets: dict[str, tuple[str, Path]], seconds: int
) -> dict[tuple[str, int], list[Figures]]:
    found: dict[tuple[str, int], list[Figures]] = {}
    for clients in (1, 8):
        for target in targets.values():
            _wrk(wrk, *target, clients, 1)  # warm
        for _ in range(ROUNDS):
            for name, target in targets.items():
                found.setdefault((name, clients), []).append(_wrk(wrk, *target, clients, seconds))
    return found


def _report(found: dict[tuple[str, int], list[Figures]]) -> None:
    lines = ["| clients | asked | p50 ms | p99 ms | requests/s |", "|---|---|---|---|---|"]
    medians = {key: _median(runs) for key, runs in found.items()}
    for (name, clients), run in medians.items():
        lines.append(f"| {clients} | {name} | {run.p50:.3f} | {run.p99:.3f} | {run.rate:.0f} |")
    for clients in sorted({clients for _, clients in medians}):
        direct, through = (run for (_, count), run in medians.items() if count == clients)
        lines.append(
            f"\nAdded at {clients} client(s): {through.p50 - direct.p50:.3f} ms p50; "
            f"{through.p50 / direct.p50:.1f} times the container's own."
        )
    sys.stdout.write("\n".join(lines) + "\n")


def _median(runs: list[Figures]) -> Figures:
    return Figures(
        statistics.median(run.p50 for run in runs),
        statistics.median(run.p99 for run in runs),
        statistics.median(run.rate for run in runs),
    )


def _wrk(wrk: str, url: str, script: Path, clients: int, seconds: int) -> Figures:
    argv = [wrk, "-t1", f"-c{clients}", f"-d{seconds}s", "--latency", "-s", str(script), url]
    text = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in text:
        sys.exit(f"requests were refused:\n{text}")
    percentiles = {
        name: float(value) * _UNITS[unit]
        for name, value, unit in re.findall(r"(\d+)%\s+([\d.]+)(us|ms|s)\n", text)
    }
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])  # type: ignore[index]
    return Figures(percentiles["50"], percentiles["99"], rate)


def _script(file: Path, path: str, headers: dict[str, str]) -> Path:
    lines = [f"wrk.method = 'POST'\nwrk.path = {json.dumps(path)}\nwrk.body = {json.dumps(BODY)}"]
    lines += [f"wrk.headers[{json.dumps(name)}] = {json.dumps(headers[name])}" for name in headers]
    file.write_text("\n".join(lines))
    return file


def _signed(facts: dict[str, Any], keys: dict[str, str], path: str) -> dict[str, str]:
    request = AWSRequest(
        "POST", facts["endpoint_url"] + path, {"content-type": "text/csv"}, data=BODY
    )
    credentials = Credentials(keys["AccessKeyId"], keys["SecretAccessKey"])
    SigV4Auth(credentials, "sagemaker", facts["region"]).add_auth(request)
    return dict(request.headers.items())


def _furnish(facts: dict[str, Any]) -> dict[str, str]:
    """Make a role, a user, a model and an endpoint in service; return the user's keys."""

    def client(service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=facts["endpoint_url"],
            region_name=facts["region"],
            aws_access_key_id=facts["access_key_id"],
            aws_secret_access_key=facts["secret_access_key"],
        )

    iam, sagemaker = client("iam"), client("sagemaker")
    trusted = {"Service": "sagemaker.amazonaws.com"}
    trust = {"Effect": "Allow", "Principal": trusted, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName=NAME, AssumeRolePolicyDocument=_policy(trust))["Role"]["Arn"]
    iam.create_user(UserName=NAME)
    allowed = {"Effect": "Allow", "Action": "sagemaker:InvokeEndpoint", "Resource": "*"}
    iam.put_user_policy(UserName=NAME, PolicyName=NAME, PolicyDocument=_policy(allowed))
    image = f"{facts['account_id']}.dkr.ecr.{facts['region']}.amazonaws.com/echo:1"
    sagemaker.create_model(ModelName=NAME, ExecutionRoleArn=role, PrimaryContainer={"Image": image})
    variant = {"VariantName": "main", "ModelName": NAME, "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(
        EndpointConfigName=NAME,
        ProductionVariants=[{**variant, "InstanceType": "ml.m5.large"}],
    )
    sagemaker.create_endpoint(EndpointName=NAME, EndpointConfigName=NAME)
    wait = sagemaker.get_waiter("endpoint_in_service")
    wait.wait(EndpointName=NAME, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    keys: dict[str, str] = iam.create_access_key(UserName=NAME)["AccessKey"]
    return keys


def _policy(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _port(facts: dict[str, Any]) -> int:
    """Where the container listens: it is the one process with this AWS in its environment."""
    mark = f"AWS_ENDPOINT_URL={facts['endpoint_url']}".encode()
    for entry in Path("/proc").iterdir():
        try:
            environment = (entry / "environ").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue  # it ended, or is another user's
        if mark in environment.split(b"\0"):
            port = re.search(rb"SAGEMAKER_BIND_TO_PORT=(\d+)", environment)
            assert port is not None
            return int(port[1])
    sys.exit("the container is not running")


def _ready(file: Path, process: "subprocess.Popen[bytes]") -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while not file.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    facts: dict[str, Any] = json.loads(file.read_text())
    return facts


def _echo() -> str:
    return str(ROOT / "benchmarks" / "echo.py")


if __name__ == "__main__":
    main()
