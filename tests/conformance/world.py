"""The AWS and the environments that the clients of the conformance tests find."""

import importlib.metadata
import io
import json
import re
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from tests.local.conftest import ROOT, LocalAws

HERE = Path(__file__).parent
BUCKET = "conformance"
ROLE = "arn:aws:iam::000000000000:role/conformance"
SECONDS = 600
"""How long a scenario may take; the clients' own waiters sleep up to two minutes at a time."""


@dataclass(frozen=True)
class Client:
    """A client: its environment in .venv/, and the distribution that names its version."""

    name: str
    title: str
    environment: str
    distribution: str

    @property
    def bin(self) -> Path:
        """The programs of the client's environment."""
        return ROOT / ".venv" / f"conformance-{self.environment}" / "bin"

    @property
    def version(self) -> str:
        """The client's version, as its environment has it."""
        folders = [str(path) for path in self.bin.parent.glob("lib/python*/site-packages")]
        found = importlib.metadata.distributions(name=self.distribution, path=folders)
        return next(iter(found)).version

    @property
    def scenarios(self) -> list[Path]:
        """The client's scripts."""
        folder = HERE / "clients" / self.name
        return sorted(path for path in folder.iterdir() if path.suffix in (".py", ".sh"))


CLIENTS = (
    Client("boto3", "boto3", "cli", "boto3"),
    Client("cli", "AWS CLI", "cli", "awscli"),
    Client("sdk2", "SageMaker Python SDK v2:", "sdk2", "sagemaker"),
    Client("sdk3", "SageMaker Python SDK v3:", "sdk3", "sagemaker"),
    Client("mlflow", "MLflow", "mlflow", "mlflow"),
)


@dataclass(frozen=True)
class Row:
    """A row of the table: a call of a client, and how it went."""

    call: str
    result: str


@dataclass(frozen=True)
class Outcome:
    """How a scenario went. `complaint` is empty if it went well."""

    rows: list[Row]
    complaint: str


def make_aws(state: Path) -> LocalAws:
    """Start a local AWS with the clients' images and short waits, a role and a bucket."""
    aws = LocalAws(
        state,
        HEADRACE_LOCAL_IMAGES=str(HERE / "images" / "images.yaml"),
        HEADRACE_LOCAL_JOBS="3",
        HEADRACE_LOCAL_STOP_GRACE="2",
        HEADRACE_LOCAL_SERVE_STOP_GRACE="2",
        HEADRACE_LOCAL_PING_TIMEOUT="60",
        HEADRACE_LOCAL_METRICS_INTERVAL="0.5",
        HEADRACE_LOCAL_CAPTURE_INTERVAL="0.5",
        HEADRACE_LOCAL_OFFLINE_INTERVAL="0.5",
        HEADRACE_LOCAL_MONITORING_HOUR="10",
        HEADRACE_LOCAL_MONITORING_DELAY="0",
    )
    iam, s3 = aws.client("iam"), aws.client("s3")
    allow = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "sagemaker.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    name = ROLE.rsplit("/", 1)[-1]
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))
    iam.put_role_policy(RoleName=name, PolicyName="everything", PolicyDocument=policy(allow))
    s3.create_bucket(Bucket=BUCKET)
    for text in ("one", "two"):
        s3.put_object(Bucket=BUCKET, Key=f"models/{text}.tar.gz", Body=archive("text", text))
    return aws


def policy(statement: dict[str, object]) -> str:
    """A policy document of one statement."""
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def archive(name: str, text: str) -> bytes:
    """A .tar.gz of one file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def environment(aws: LocalAws, client: Client, folder: Path) -> dict[str, str]:
    """What a scenario may know: nothing of this machine's, in particular no proxy."""
    inside = HERE / "inside"
    return {
        "PATH": f"{client.bin}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(inside),
        "PYTHONUNBUFFERED": "1",
        "AWS_ENDPOINT_URL": aws.facts["endpoint_url"],
        "AWS_ACCESS_KEY_ID": aws.facts["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": aws.facts["secret_access_key"],
        "AWS_DEFAULT_REGION": aws.facts["region"],
        "AWS_REGION": aws.facts["region"],
        "AWS_PAGER": "",
        "AWS_DATA_PATH": str(ROOT / "local" / "sagemaker" / "labeling" / "model"),
        "COLUMNS": "200",
        "SAGEMAKER_SUPPRESS_V2_WARNING": "1",
        "SAGEMAKER_USER_CONFIG_OVERRIDE": str(inside / "sagemaker.yaml"),
        "ROLE": ROLE,
        "BUCKET": BUCKET,
        "STEPS": str(inside / "steps.sh"),
        "CONFORMANCE_STEPS": str(folder / "steps.jsonl"),
        "CONFORMANCE_REFUSED": str(folder / "refused.txt"),
    }


def play(aws: LocalAws, client: Client, script: Path, folder: Path) -> Outcome:
    """Run a scenario by its client's own interpreter; its output is kept in `folder`."""
    program = client.bin / "python" if script.suffix == ".py" else Path("/bin/bash")
    output = folder / "output.txt"
    with output.open("w") as stream:
        try:
            code = subprocess.run(
                [str(program), str(script)],
                cwd=folder,
                env=environment(aws, client, folder),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                timeout=SECONDS,
            ).returncode
        except subprocess.TimeoutExpired:
            stream.write(f"\nThe scenario took longer than {SECONDS} s")
            code = -1
    return judge(script, folder, code, output.read_text(errors="replace"))


def judge(script: Path, folder: Path, code: int, said: str) -> Outcome:
    """Read what the scenario did, step by step."""
    steps, refused = folder / "steps.jsonl", folder / "refused.txt"
    done = [json.loads(line) for line in steps.read_text().splitlines()] if steps.exists() else []
    rows = [Row(step["call"], step["bug"] or "works") for step in done]
    if code and rows:
        rows[-1] = Row(rows[-1].call, f"FAILS: {reason(said)}")
    rows += [Row(call, "not reached") for call in declared(script)[len(rows) :]]
    complaint = f"exit code {code}:\n{said[-6000:]}" if code else ""
    if refused.exists():
        complaint += f"\nwanted to reach {sorted(set(refused.read_text().split()))}"
    if not code and len(done) != len(declared(script)):
        complaint += f"\n{len(done)} steps were played of {len(declared(script))}"
    return Outcome(rows, complaint)


def reason(said: str) -> str:
    """The exception that ended a scenario, else what it said last."""
    lines = [line for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"[\w.]+(Error|Exception)\b", line)]
    return (errors or lines or ["no output"])[-1][:200].replace("|", "\\|")


def declared(script: Path) -> list[str]:
    """The calls that a scenario is to make, in order."""
    return re.findall(r'^ *step\W+"([^"]+)"', script.read_text(), re.MULTILINE)
