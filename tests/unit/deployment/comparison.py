"""A champion that serves and a candidate that is approved, the machine's states run by hand."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from headrace.aws.checking import CheckRequest, CheckVerdict, check_package
from headrace.aws.endpoints import Deployer, EndpointRequest, find_endpoint
from headrace.aws.storage import Location
from headrace.aws.verification import VerifyVerdict
from headrace.deployment.experiment import CHALLENGER, CHAMPION
from headrace.records import DeploymentRecord, EndpointRecord, Key, model_partition
from headrace.registry import REQUIRED_METADATA
from tests.unit import world
from tests.unit.deployment.endpoints import Endpoint
from tests.unit.deployment.registry import ENDPOINT, GROUP, decide, publish, told
from tests.unit.deployment.test_strategy import violations
from tests.unit.deployment.world import SMOKE, Deployments
from tests.unit.world import IMAGE, MODEL, World

ARTIFACT = b"a model"
NOW = datetime.now(UTC)
SINCE = NOW - timedelta(hours=2)


class Cloud(Endpoint):
    """moto's registry and configurations, and endpoints whose clock the tests hold."""

    def __init__(self, moto: Any) -> None:
        super().__init__()
        self._moto = moto
        self.metadata: dict[str, dict[str, str]] = {}  # moto keeps none

    def __getattr__(self, name: str) -> Any:
        return getattr(self._moto, name)

    def describe_model_package(self, **request: Any) -> dict[str, Any]:
        metadata = self.metadata[request["ModelPackageName"]]
        described = self._moto.describe_model_package(**request)
        return {**described, "CustomerMetadataProperties": metadata}

    def describe_endpoint_config(self, **request: Any) -> dict[str, Any]:
        return dict(self._moto.describe_endpoint_config(**request))


class Measured:
    """CloudWatch's metrics by variant: requests, failures and p99 in microseconds."""

    def __init__(self) -> None:
        self.traffic = {CHAMPION: (1000, 0, 10_000.0), CHALLENGER: (1000, 0, 11_000.0)}

    def get_metric_statistics(self, **asked: Any) -> dict[str, Any]:
        assert violations("GetMetricStatistics", asked, "cloudwatch") == []
        requests, failures, latency = self.traffic[asked["Dimensions"][1]["Value"]]
        value = {"Invocations": requests, "InvocationModelErrors": failures}
        if asked["MetricName"] == "ModelLatency":
            return {"Datapoints": [{"ExtendedStatistics": {"p99": latency}}]}
        return {"Datapoints": [{"Sum": float(value[asked["MetricName"]])}]}


class Story:
    """A champion that serves, a candidate that is approved, and the machine's states by hand."""

    def __init__(self, here: World, **deployment: Any) -> None:
        self.here = here
        self.cloud = Cloud(here.sagemaker)
        self.measured = Measured()
        self.world = Deployments(here.ledger, here.storage)
        self.world.endpoint = self.cloud
        self.world.aws = Deployer(world.settings(), here.ledger, here.storage, self.cloud)
        publish(here)
        for version in (1, 2):
            self._register(version, deployment)
        champion = self.check(1, "v1")
        self.create(champion)
        self.finish(champion, "v1")
        assert self.live.package_version == 1
        self.outcome: VerifyVerdict | None = None

    def _register(self, version: int, deployment: Any) -> None:
        here, run = self.here, f"run-{version}"
        if version == 1:
            here.sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)
        uri = f"s3://headrace-artifacts/runs/{MODEL}/{run}/model.tar.gz"
        here.storage.put_bytes(Location.of(uri), ARTIFACT, "application/gzip")
        sha256 = here.storage.sha256(Location.of(uri))
        metadata = dict.fromkeys(REQUIRED_METADATA, "x") | {"run": run, "artifact_sha256": sha256}
        container = {"Image": IMAGE, "ModelDataUrl": uri}
        arn: str = here.sagemaker.create_model_package(
            ModelPackageGroupName=GROUP,
            ModelApprovalStatus="PendingManualApproval",
            InferenceSpecification={
                "Containers": [container],
                "SupportedContentTypes": ["application/json"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
        )["ModelPackageArn"]
        self.cloud.metadata[arn] = metadata
        decide(here, arn, "Approved")
        here.ledger.put(world.run_record(run=run, package_arn=arn, artifact_sha256=sha256))
        folder = f"runs/{MODEL}/{run}"
        bucket = "headrace-artifacts"
        definition = world.definition(deployment=deployment).model_dump(mode="json", by_alias=True)
        here.storage.put_json(Location(bucket, f"{folder}/definition.json"), definition)
        here.storage.put_json(Location(bucket, f"{folder}/smoke.json"), SMOKE)
        setattr(self, f"arn{version}", arn)

    @property
    def live(self) -> EndpointRecord:
        found = find_endpoint(self.here.ledger, ENDPOINT)
        assert found is not None
        return found

    def record(self, deployment: str = "v2") -> DeploymentRecord:
        key = Key(pk=model_partition(MODEL), sk=f"deployment#{deployment}")
        found = self.here.ledger.get(DeploymentRecord, key)
        assert found is not None
        return found

    def check(self, version: int = 2, deployment: str = "v2") -> CheckVerdict:
        """Lock, and check."""
        found = find_endpoint(self.here.ledger, ENDPOINT)
        record = found or EndpointRecord(model=MODEL, endpoint=ENDPOINT)
        execution = f"arn:execution:{deployment}"
        locked = {"lock_owner": execution, "fence": record.fence + 1}
        self.here.ledger.put(record.model_copy(update=locked))
        request = CheckRequest(
            model=MODEL,
            deployment=deployment,
            endpoint=ENDPOINT,
            package_arn=getattr(self, f"arn{version}"),
            package_version=version,
            cause="approved",
            execution=execution,
            fence=record.fence + 1,
        )
        return check_package(request, self.world.aws, self.measured)

    def create(self, verdict: CheckVerdict) -> None:
        """Create the model and the configuration."""
        assert verdict.model is not None
        assert verdict.endpoint_config is not None
        assert violations("CreateModel", verdict.model) == []
        assert violations("CreateEndpointConfig", verdict.endpoint_config) == []
        # moto knows no packages here.
        container = {"Image": IMAGE, "ModelDataUrl": "s3://headrace-artifacts/m.tar.gz"}
        self.here.sagemaker.create_model(**{**verdict.model, "PrimaryContainer": container})
        self.here.sagemaker.create_endpoint_config(**verdict.endpoint_config)

    def finish(self, verdict: CheckVerdict, deployment: str = "v2") -> VerifyVerdict:
        """Move the endpoint and verify it, going back when that says so; then unlock."""
        target = verdict.target
        assert target is not None
        ended = self.move(target)
        if ended.restore:
            ended = self.move(ended.restore)
        self.here.ledger.update(self.live.key(), {"lock_owner": None})
        return ended

    def move(self, target: EndpointRequest) -> VerifyVerdict:
        self.world.attempt(target)
        self.cloud.settle(well=True)
        return self.world.verify(target)

    def begin(self) -> VerifyVerdict:
        """Approve version 2 and put it beside the champion, two hours ago."""
        verdict = self.check()
        self.create(verdict)
        began = self.finish(verdict)
        assert began.outcome == "comparing"
        self.here.ledger.update(self.record().key(), {"comparing_since": told(SINCE)})
        return began

    def capture(self, variant: str, scores: list[float], prefix: str = "r") -> None:
        when = SINCE + timedelta(minutes=30)
        lines = [
            json.dumps(
                {
                    "captureData": {
                        "endpointInput": {"data": f"{n}", "encoding": "JSON"},
                        "endpointOutput": {
                            "data": json.dumps({"predictions": [_prediction(score)]}),
                            "encoding": "JSON",
                        },
                    },
                    "eventMetadata": {
                        "inferenceTime": told(when),
                        "inferenceId": f"{prefix}-{n}",
                    },
                }
            )
            for n, score in enumerate(scores)
        ]
        key = f"captures/{ENDPOINT}/{variant}/{when:%Y/%m/%d/%H}/{prefix}.jsonl"
        content = "\n".join(lines).encode()
        self.here.storage.put_bytes(
            Location("headrace-artifacts", key), content, "application/jsonlines"
        )

    def tell(self, rows: list[dict[str, Any]]) -> None:
        content = "\n".join(json.dumps(row) for row in rows).encode()
        location = Location("headrace-data", f"outcomes/{MODEL}/today.jsonl")
        self.here.storage.put_bytes(location, content, "application/jsonlines")


def _prediction(score: float) -> dict[str, Any]:
    return {"score": score, "label": int(score > 0.5)}


SCORES = [n / 400 for n in range(400)]
SHADOW = {"shadow": {"requests": 200}}
TEST = {"ab": {"minimum_effect": 0.1, "duration": "1h", "outcome": "paid"}}
