"""A local SageMaker in memory for units; a whole local AWS, with roles and data, for contracts."""

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from local.sagemaker import SageMaker, ServiceError
from local.sagemaker.settings import Settings
from tests.local.conftest import LocalAws, wait_until

IMAGES = Path(__file__).parent / "images" / "images.yaml"
REGISTRY = "000000000000.dkr.ecr.us-east-1.amazonaws.com"
SCRIPT = f"{REGISTRY}/script:1"
MUTE = f"{REGISTRY}/mute:1"
ROLE = "arn:aws:iam::000000000000:role/sagemaker-tests"
STRANGER = "arn:aws:iam::000000000000:role/sagemaker-without-data"
BUCKET = "sagemaker-tests"


@dataclass
class MemoryCloud:
    """The rest of AWS, remembering what it was told."""

    region: str = "us-east-1"
    account_id: str = "000000000000"
    endpoint_url: str = "http://127.0.0.1:9"
    events: list[tuple[str, dict[str, Any], list[str]]] = field(default_factory=list)
    logs: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    metrics: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def emit(self, detail_type: str, detail: dict[str, Any], resources: list[str]) -> None:
        self.events.append((detail_type, detail, resources))

    def put_log_events(self, group: str, stream: str, events: list[dict[str, Any]]) -> None:
        self.logs += [(group, stream, event) for event in events]

    def put_metric_data(self, namespace: str, metric_data: list[dict[str, Any]]) -> None:
        self.metrics += [(namespace, datum) for datum in metric_data]

    def role_credentials(self, role_arn: str, session: str) -> dict[str, str]:
        if role_arn.endswith("/missing-role"):
            raise ServiceError("NoSuchEntity", "no such role", 404)
        return {
            "AWS_ACCESS_KEY_ID": "ASIAEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_SESSION_TOKEN": "token",
        }


@pytest.fixture
def cloud() -> MemoryCloud:
    return MemoryCloud()


@pytest.fixture
def service(tmp_path: Path, cloud: MemoryCloud) -> SageMaker:
    """A service that was not started: all of its control plane, none of its processes."""
    return SageMaker(tmp_path / "state", cloud, Settings(images=(IMAGES,)))


def make_aws(state: Path) -> LocalAws:
    """Start a local AWS with the tests' images and short waits."""
    return LocalAws(
        state,
        HEADRACE_LOCAL_IMAGES=str(IMAGES),
        HEADRACE_LOCAL_JOBS="2",
        HEADRACE_LOCAL_STOP_GRACE="1",
        HEADRACE_LOCAL_SYNC_INTERVAL="0.2",
        HEADRACE_LOCAL_SERVE_STOP_GRACE="2",
        HEADRACE_LOCAL_PING_TIMEOUT="5",
        HEADRACE_LOCAL_METRICS_INTERVAL="0.5",
        HEADRACE_LOCAL_SCALING_PERIOD="1",
        HEADRACE_LOCAL_CHECKPOINT_SECONDS="1",
        HEADRACE_LOCAL_ALARM_SECONDS="0.5",
        HEADRACE_LOCAL_CAPTURE_INTERVAL="0.5",
        HEADRACE_LOCAL_MONITORING_HOUR="3",
        HEADRACE_LOCAL_MONITORING_DELAY="0",
        HEADRACE_LOCAL_SERVERLESS_IDLE="1",
        HEADRACE_LOCAL_LOADED_MODELS="2",
        HEADRACE_LOCAL_OFFLINE_INTERVAL="0.5",
    )


def furnish(aws: LocalAws) -> None:
    """Make the roles, the bucket and the models that tests use."""
    iam, s3 = aws.client("iam"), aws.client("s3")
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "sagemaker.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    everything = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    for arn, statements in ((ROLE, [everything]), (STRANGER, [])):
        name = arn.rsplit("/", 1)[-1]
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
        policy = {"Version": "2012-10-17", "Statement": statements}
        if statements:
            iam.put_role_policy(RoleName=name, PolicyName="data", PolicyDocument=json.dumps(policy))
    s3.create_bucket(Bucket=BUCKET)
    for text in ("one", "two", "broken"):
        s3.put_object(Bucket=BUCKET, Key=f"models/{text}.tar.gz", Body=archive({"text": text}))


def archive(files: dict[str, str]) -> bytes:
    """A .tar.gz of text files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def containers(aws: LocalAws, **variables: str) -> list[int]:
    """The processes whose environment says that they are containers of this instance.

    With `variables`, only those that have them too.
    """
    marks = {f"AWS_ENDPOINT_URL={aws.facts['endpoint_url']}".encode()}
    marks |= {f"{name}={value}".encode() for name, value in variables.items()}
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and marks <= {*(entry / "environ").read_bytes().split(b"\0")}:
                found.append(int(entry.name))
        except OSError:
            continue  # it ended, or is another user's
    return found


@pytest.fixture(scope="session")
def sagemaker_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """One local AWS for the contract tests; they name their resources uniquely."""
    aws = make_aws(tmp_path_factory.mktemp("sagemaker-aws"))
    furnish(aws)
    yield aws
    assert aws.stop() == 0
    assert not containers(aws), "an orderly stop leaves no process behind"


@dataclass(frozen=True)
class Clients:
    """boto3 clients, and what tests do with them again and again."""

    sagemaker: Any
    runtime: Any
    s3: Any
    logs: Any
    cloudwatch: Any

    @classmethod
    def of(cls, aws: LocalAws) -> "Clients":
        services = ("sagemaker", "sagemaker-runtime", "s3", "logs", "cloudwatch")
        return cls(*(aws.client(service) for service in services))

    def put(self, key: str, text: str) -> str:
        """Write an object; return its URI."""
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=text.encode())
        return f"s3://{BUCKET}/{key}"

    def get(self, uri: str) -> bytes:
        """Read an object by URI."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    def keys(self, prefix: str) -> list[str]:
        """The keys below a prefix."""
        listed = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [entry["Key"] for entry in listed.get("Contents", [])]

    def unpack(self, uri: str) -> dict[str, str]:
        """The text files of a .tar.gz."""
        with tarfile.open(fileobj=io.BytesIO(self.get(uri))) as tar:
            members = [member for member in tar if member.isfile()]
            return {member.name: tar.extractfile(member).read().decode() for member in members}

    def train(self, name: str, behaviour: str = "succeed", **changes: Any) -> None:
        """Create a training job of the script image."""
        request = {
            "TrainingJobName": name,
            "RoleArn": ROLE,
            "AlgorithmSpecification": {"TrainingImage": SCRIPT, "TrainingInputMode": "File"},
            "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/output"},
            "ResourceConfig": {
                "InstanceType": "ml.m5.large",
                "InstanceCount": 1,
                "VolumeSizeInGB": 1,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            "HyperParameters": {"behaviour": behaviour},
        }
        self.sagemaker.create_training_job(**{**request, **changes})

    def trained(self, name: str) -> dict[str, Any]:
        """Wait for a training job to end."""

        def ended() -> dict[str, Any] | None:
            job = self.sagemaker.describe_training_job(TrainingJobName=name)
            return job if job["TrainingJobStatus"] not in ("InProgress", "Stopping") else None

        return wait_until(ended, what=f"the end of {name}")

    def training(self, name: str) -> None:
        """Wait until a training job's container runs and has spoken."""
        wait_until(
            lambda: self.log_lines("/aws/sagemaker/TrainingJobs", f"{name}/"),
            what=f"{name} to train",
        )

    def log_lines(self, group: str, prefix: str) -> list[str]:
        """What the streams of a group say."""
        try:
            found = self.logs.filter_log_events(logGroupName=group)
        except self.logs.exceptions.ResourceNotFoundException:
            return []
        events = [event for event in found["events"] if event["logStreamName"].startswith(prefix)]
        return [event["message"] for event in events]

    def model(self, name: str, text: str | None = "one", image: str = SCRIPT) -> str:
        """Create a model that answers with a text."""
        container = {"Image": image}
        if text:
            container["ModelDataUrl"] = f"s3://{BUCKET}/models/{text}.tar.gz"
        self.sagemaker.create_model(
            ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container
        )
        return name

    def config(self, name: str, *variants: tuple[str, str, float], **changes: Any) -> str:
        """Create an endpoint config of (variant, model, weight)."""
        count = changes.pop("instances", 1)
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=name,
            ProductionVariants=[
                {
                    "VariantName": variant,
                    "ModelName": model,
                    "InitialInstanceCount": count,
                    "InstanceType": "ml.m5.large",
                    "InitialVariantWeight": weight,
                }
                for variant, model, weight in variants
            ],
            **changes,
        )
        return name

    def settled(self, name: str) -> dict[str, Any]:
        """Wait until an endpoint is not being changed."""

        def settled() -> dict[str, Any] | None:
            endpoint = self.sagemaker.describe_endpoint(EndpointName=name)
            return endpoint if not endpoint["EndpointStatus"].endswith("ing") else None

        return wait_until(settled, seconds=30, what=f"{name} to settle")

    def deploy(self, name: str, config: str) -> dict[str, Any]:
        """Create an endpoint and wait for it."""
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
        return self.settled(name)

    def delete(self, name: str) -> None:
        """Delete an endpoint and wait until it is gone."""
        self.sagemaker.delete_endpoint(EndpointName=name)

        def gone() -> bool:
            listed = self.sagemaker.list_endpoints(NameContains=name)["Endpoints"]
            return name not in [endpoint["EndpointName"] for endpoint in listed]

        wait_until(gone, what=f"{name} to go")

    def ask(self, name: str, body: str = "hello", **options: Any) -> dict[str, Any]:
        """Invoke an endpoint; return what the container was given."""
        answer = self.runtime.invoke_endpoint(
            EndpointName=name, ContentType="text/csv", Body=body, **options
        )
        return json.loads(answer["Body"].read())


@pytest.fixture(scope="session")
def clients(sagemaker_aws: LocalAws) -> Clients:
    return Clients.of(sagemaker_aws)


@pytest.fixture
def unique(request: pytest.FixtureRequest) -> str:
    """A name of this test's own."""
    name: str = request.node.name.split("[")[0].removeprefix("test_").replace("_", "-")
    return name[:40].strip("-")
