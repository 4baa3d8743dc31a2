"""The process: ready, alone, restartable, and gone without a trace."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.local.conftest import PYTHON, ROOT, LocalAws, wait_until
from tests.local.ministack.helpers import archive, function, invoke, jsonata, machine, unique


@pytest.fixture
def own(tmp_path: Path) -> Iterator[LocalAws]:
    instance = LocalAws(tmp_path, HEADRACE_LOCAL_CHECKPOINT_SECONDS="0.2")
    yield instance
    if instance.process.poll() is None:
        instance.stop(signal.SIGKILL)


def start(state: Path, port: int = 0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(PYTHON), "-m", "local", "--state", str(state), "--port", str(port)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
    )


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


PID = "import os\ndef handler(e, c): return os.getpid()"
BUSY = "import time\ndef handler(e, c): time.sleep(300)"


def test_it_listens_on_loopback_only_and_keeps_its_secrets_private(aws: LocalAws) -> None:
    port = aws.facts["port"]
    listening = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    addresses = [
        line.split()[1]
        for line in listening.splitlines()
        if f":{port:04X} " in line and line.split()[3] == "0A"
    ]
    assert addresses == [f"0100007F:{port:04X}"]
    for name in ("local-aws.json", "operator.json"):
        assert (aws.state / name).stat().st_mode & 0o777 == 0o600


def test_a_second_instance_is_refused(aws: LocalAws, tmp_path: Path) -> None:
    same = start(aws.state)
    assert (same.returncode, str(aws.process.pid) in same.stderr) == (1, True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        other = start(tmp_path, taken.getsockname()[1])
    assert (other.returncode, "is taken" in other.stderr) == (1, True)


def test_state_survives_an_orderly_restart(own: LocalAws) -> None:
    large = {"python__large": f"DATA = '{os.urandom(100_000).hex()}'"}
    layers = [
        own.client("lambda").publish_layer_version(
            LayerName="large", Content={"ZipFile": archive(**large)}
        )["LayerVersionArn"]
    ]
    name, bucket = function(own, f"import large\n{PID}", Layers=layers), unique("bucket")
    own.client("s3").create_bucket(Bucket=bucket)
    own.client("s3").put_bucket_versioning(
        Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    own.client("s3").put_object(Bucket=bucket, Key="a b+ü", Body=b"data", Metadata={"k": "v"})
    arn = machine(own, jsonata("W", W={"Type": "Wait", "Seconds": 600, "End": True}))
    execution = own.client("stepfunctions").start_execution(stateMachineArn=arn)["executionArn"]
    child = invoke(own, name)[0]
    port = own.facts["port"]
    assert own.stop() == 0
    assert not alive(child)
    assert not (own.state / "local-aws.json").exists()
    assert not (own.state / "tmp").exists()
    own.start(port)
    assert own.facts["port"] == port
    found = own.client("s3").get_object(Bucket=bucket, Key="a b+ü")
    assert (found["Body"].read(), found["Metadata"]) == (b"data", {"k": "v"})
    assert found["VersionId"]
    assert isinstance(invoke(own, name)[0], int)
    # An execution cannot outlive the process that walks it; it must not look alive either.
    described = own.client("stepfunctions").describe_execution(executionArn=execution)
    assert described["status"] == "FAILED"


def test_a_kill_loses_seconds_at_most_and_leaves_no_process(own: LocalAws) -> None:
    busy, idle = function(own, BUSY, Timeout=300), function(own, PID)
    pid = invoke(own, idle)[0]
    own.client("lambda").invoke(FunctionName=busy, InvocationType="Event", Payload=b"1")

    def children() -> list[int]:
        listed = Path(f"/proc/{own.process.pid}/task").glob("*/children")
        return [int(each) for path in listed for each in path.read_text().split()]

    def environments() -> list[int]:
        found = []
        for each in children():
            with suppress(FileNotFoundError):  # it has ended meanwhile
                if b"bootstrap.py" in Path(f"/proc/{each}/cmdline").read_bytes():
                    found.append(each)
        return found

    both = wait_until(lambda: found if len(found := environments()) == 2 else None)
    assert pid in both
    saved = own.state / "services" / "lambda.json"
    wait_until(lambda: saved.exists() and busy in saved.read_text())
    own.stop(signal.SIGKILL)
    wait_until(lambda: not any(alive(each) for each in both), what="functions to end")
    own.start()
    assert own.client("lambda").get_function(FunctionName=busy)


def test_an_idle_instance_writes_nothing(own: LocalAws) -> None:
    own.client("sqs").create_queue(QueueName="q")
    saved = own.state / "services" / "sqs.json"
    first = wait_until(lambda: saved.exists() and "q" in saved.read_text() and saved.stat())
    own.client("s3").list_buckets()
    stamp = (own.state / "services" / "s3.json").stat().st_mtime_ns
    own.client("sqs").create_queue(QueueName="q2")
    wait_until(lambda: "q2" in saved.read_text())
    assert saved.stat().st_ino != first.st_ino
    assert (own.state / "services" / "s3.json").stat().st_mtime_ns == stamp


def test_history_is_pruned(tmp_path: Path) -> None:
    own = LocalAws(
        tmp_path, HEADRACE_LOCAL_FINISHED_EXECUTIONS="2", HEADRACE_LOCAL_CHECKPOINT_SECONDS="0.2"
    )
    states = own.client("stepfunctions")
    arn = machine(own, jsonata("A", A={"Type": "Succeed"}))
    arns = [
        states.start_execution(stateMachineArn=arn, name=f"n{i}")["executionArn"] for i in range(6)
    ]

    def sizes() -> list[int]:
        return [len(states.get_execution_history(executionArn=each)["events"]) for each in arns]

    wait_until(lambda: sorted(sizes()) == [1, 1, 1, 1, 4, 4], what="pruning")
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        states.start_execution(stateMachineArn=arn, name="n0", input='{"other": 1}')
    own.stop()


def test_what_a_web_page_could_do_is_refused(aws: LocalAws) -> None:
    import urllib.error
    import urllib.request

    bucket = unique("bucket")
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    for path, method in ((f"{bucket}/k", "GET"), ("_ministack/reset", "POST")):
        request = urllib.request.Request(f"{aws.facts['endpoint_url']}/{path}", method=method)
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(request)
    with pytest.raises(ClientError, match=r"InvalidAccessKeyId|SignatureDoesNotMatch"):
        aws.client("s3", aws_access_key_id="AKIANOBODY", aws_secret_access_key="x").list_buckets()


def test_loopback_counts_as_a_secure_transport(aws: LocalAws) -> None:
    bucket, s3 = unique("bucket"), aws.client("s3")
    s3.create_bucket(Bucket=bucket)
    only_tls = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    s3.put_bucket_policy(
        Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [only_tls]})
    )
    code = (
        "import boto3\ndef handler(e, c):\n"
        f" boto3.client('s3').put_object(Bucket='{bucket}', Key='k', Body=b'1')"
    )
    assert invoke(aws, function(aws, code))[1] == ""
    assert os.environ.get("AWS_ACCESS_KEY_ID") != aws.facts["access_key_id"]
