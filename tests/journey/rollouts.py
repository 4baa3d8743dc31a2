"""A model on the deployed stack whose versions cost no training, and what people do with them.

A version is what a training run leaves behind: its folder in S3, its record, its package. The rest
is the product's: registry, events, functions, state machines, endpoints, alarms, ledger.
"""

import hashlib
import io
import json
import os
import signal
import tarfile
import uuid
from pathlib import Path
from typing import Any, Literal

from headrace.aws.endpoints import describe_endpoint
from headrace.aws.registry import describe_package
from headrace.aws.storage import Location
from headrace.definition import ModelDefinition
from headrace.deployment.steps import EndpointState
from headrace.records import Key, RunRecord, now
from headrace.registry import ROLLBACK_FROM, Package, package_metadata, serving
from headrace.requests import CONTENT_TYPES, RESPONSE_TYPES, VARIANT
from headrace.training.folder import RunFolder
from headrace_cli import rollout
from tests.journey.conftest import Journey

Kind = Literal["at-once", "canary", "linear", "rolling", "wrong", "broken", "unwatched", "tampered"]
PREDICTION = {"score": 0.25, "label": 0}
_OTHER = {"score": 0.75, "label": 1}
_AT_ONCE: dict[str, Any] = {"instance_count": 1, "stand_by": "1m"}
_STRATEGIES: dict[str, dict[str, Any]] = {
    "canary": {"instance_count": 2, "strategy": {"canary": {"percent": 50, "bake": "2m"}}},
    "linear": {"instance_count": 3, "strategy": {"linear": {"percent": 34, "bake": "1m"}}},
    "rolling": {"instance_count": 2, "strategy": {"rolling": {"percent": 50, "bake": "1m"}}},
}
Hop = Literal["package", "endpoint", "alarm", "end"]
_RULES: dict[Hop, str] = {
    "package": "StartDeploymentFunctionPackageDecided",
    "endpoint": "ResumeDeploymentFunctionEndpointChanged",
    "alarm": "RecoveryStateMachineAlarmRang",
    "end": "CloseExecutionFunctionExecutionEnded",
}


class Rollouts(Journey):
    """One model, its versions by number, and what was decided about them when."""

    def begin(self, **deployment: Any) -> None:
        """Publish the project; its own alarm stays as it was put, until it is put otherwise."""
        self._names: dict[str, str] = {}
        self.own_alarm = f"{self.model}-own"
        self.client("cloudwatch").put_metric_alarm(
            AlarmName=self.own_alarm,
            Namespace="Tests",
            MetricName=self.model,
            Statistic="Sum",
            Period=10,
            EvaluationPeriods=1,
            Threshold=0,
            ComparisonOperator="GreaterThanThreshold",
            TreatMissingData="ignore",
        )
        self.ring(self.own_alarm, "OK")
        self.deployment = {"alarms": {"names": [self.own_alarm]}, **deployment}
        self.publish(deployment={"stand_by": 0, **self.deployment})
        self.known = self.session.model(self.model)
        self.endpoint = self.known.endpoint
        self.kinds: dict[int, Kind] = {}
        self.arns: dict[int, str] = {}
        self.approvals: dict[int, list[str]] = {}
        self.rejections: dict[int, list[str]] = {}
        self.intents: set[tuple[int, int]] = set()
        self.stopped: set[str] = set()
        self.muted: set[Hop] = set()

    # What people do.

    def register(self, kind: Kind, broken_if: str = "", **deployment: Any) -> int:
        """Leave behind what a run leaves that made a candidate; return its version.

        `broken_if` names a file: while it is there, no container of the version starts.
        """
        name = f"{self.model}-run-{len(self.kinds) + 1}"
        folder = RunFolder(self.session.stack.artifacts_bucket, self.model, name)
        prediction = _OTHER if kind == "wrong" else PREDICTION
        says = {"run": name, "broken": kind == "broken", "broken_if": broken_if}
        artifact = _archive({**says, "prediction": prediction})
        sha256 = hashlib.sha256(artifact).hexdigest()
        smoke = {"instances": [{"a": 1}], "predictions": [PREDICTION], "tolerance": 1e-6}
        model = folder.uri("output/model.tar.gz")
        self._put(model, artifact)
        self._put(folder.smoke, json.dumps(smoke).encode())
        self._put(folder.definition, self._definition(kind, deployment).encode())
        image = f"{self._registry()}/tiny@sha256:{'0' * 64}"
        run = RunRecord(
            model=self.model,
            run=name,
            status="better",
            reason="the test says so",
            dataset_version="d1",
            project_version="p1",
            execution_arn="",
            training_job=name,
            data_hash="0" * 32,
            image=image,
            metric="roc_auc",
            candidate_value=0.9,
            artifact_sha256=sha256,
            started_at=now(),
        )
        request = {
            "ModelPackageGroupName": self.known.package_group,
            "ModelApprovalStatus": "PendingManualApproval",
            "InferenceSpecification": {
                "Containers": [{"Image": image, "ModelDataUrl": model}],
                "SupportedContentTypes": CONTENT_TYPES,
                "SupportedResponseMIMETypes": RESPONSE_TYPES,
            },
            "CustomerMetadataProperties": package_metadata(run, artifact_sha256=sha256, value=0.9),
        }
        arn = str(self.client("sagemaker").create_model_package(**request)["ModelPackageArn"])
        self.session.ledger.put(run.model_copy(update={"package_arn": arn}))
        if kind == "tampered":
            self._put(model, _archive({**says, "prediction": _OTHER}))
        version = int(arn.rpartition("/")[2])
        self.kinds[version], self.arns[version] = kind, arn
        return version

    def decide(self, version: int, decision: str, **more: Any) -> None:
        """Approve or reject a version, as a person does."""
        made = self.approvals if decision == "Approved" else self.rejections
        made.setdefault(version, []).append(now())
        self.client("sagemaker").update_model_package(
            ModelPackageArn=self.arns[version],
            ModelApprovalStatus=decision,
            ApprovalDescription="the test says so",
            **more,
        )

    def mean_to_go_back(self, version: int) -> None:
        """`headrace deploy --version N --rollback`."""
        live = rollout.live(self.session, self.model)
        intent = {ROLLBACK_FROM: serving(live)} if live else {}
        self.intents.add((version, (live and live.package_version) or 0))
        self.decide(version, "Approved", CustomerMetadataProperties=intent)

    # What the world does.

    def ring(self, alarm: str, state: str) -> None:
        self.client("cloudwatch").set_alarm_state(
            AlarmName=alarm, StateValue=state, StateReason="the test says so"
        )

    def mute(self, hop: Hop) -> None:
        """Lose the events of one kind until they are heard again."""
        self.muted.add(hop)
        self.client("events").disable_rule(Name=self._rule(hop))

    def unmute(self) -> None:
        for hop in self.muted:
            self.client("events").enable_rule(Name=self._rule(hop))
        self.muted.clear()

    def tell_of_package(self, version: int, status: str) -> None:
        """An approval's event: late, doubled, or of what is not so any more."""
        detail = {"ModelPackageArn": self.arns[version], "ModelApprovalStatus": status}
        self.invoke(
            "StartDeploymentFunction", _event("SageMaker Model Package State Change", detail)
        )

    def tell_of_endpoint(self) -> None:
        """An endpoint's event, or the look that is taken five minutes after none came."""
        self.invoke(
            "ResumeDeploymentFunction",
            _event("SageMaker Endpoint State Change", {"EndpointName": self.endpoint}),
        )

    def tell_of_alarm(self) -> None:
        """An alarm's event, which need not be true."""
        state = {"value": "ALARM", "timestamp": now()}
        self.client("stepfunctions").start_execution(
            stateMachineArn=self.function("RecoveryStateMachine"),
            name=f"{self.model}-{uuid.uuid4().hex[:12]}",
            input=json.dumps(
                {"detail": {"alarmName": f"{self.endpoint}/unhealthy", "state": state}}
            ),
        )

    def forge(self, version: int) -> None:
        """Say on our own bus, as anyone who may write to it could, that a version is approved."""
        detail = {"ModelPackageArn": self.arns[version], "ModelApprovalStatus": "Approved"}
        self.announce("headrace.registry", "SageMaker Model Package State Change", **detail)
        self.announce(
            "headrace.training",
            "CandidateRegistered",
            run=f"{self.model}-run-{version}",
            package_arn=self.arns[version],
            dataset_version="d1",
        )
        self.tell_of_package(version, "Approved")

    def touch(self) -> None:
        """Weigh the endpoint's only variant as it is, as autoscaling changes its instances."""
        sagemaker = self.client("sagemaker")
        try:
            sagemaker.update_endpoint_weights_and_capacities(
                EndpointName=self.endpoint,
                DesiredWeightsAndCapacities=[{"VariantName": VARIANT, "DesiredWeight": 1.0}],
            )
        except sagemaker.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "ValidationException":
                raise  # else there is none, or it is being changed

    def reconcile(self) -> dict[str, list[str]]:
        return dict(self.invoke("ReconcileDeploymentsFunction", {}))

    def stop_execution(self) -> bool:
        """Kill a deployment between two of its steps; tell whether there was one."""
        running = [e for e in self.executions("deployment") if e["status"] == "RUNNING"]
        for execution in running[:1]:
            self.stopped.add(execution["name"])
            self.client("stepfunctions").stop_execution(executionArn=execution["executionArn"])
        return bool(running)

    def kill_function(self, logical_id: str) -> bool:
        """Kill a process of a function, whatever it does just now; tell whether there was one."""
        aws = self.session.environment.local_aws()
        assert aws is not None
        wanted = f"AWS_LAMBDA_FUNCTION_NAME={self.function(logical_id)}".encode()
        here = f"AWS_ENDPOINT_URL={aws.endpoint_url}".encode()
        for entry in Path("/proc").iterdir():
            try:
                found = (
                    (entry / "environ").read_bytes().split(b"\0") if entry.name.isdigit() else []
                )
            except OSError:
                continue  # it ended, or is another user's
            if wanted in found and here in found:
                os.kill(int(entry.name), signal.SIGKILL)
                return True
        return False

    def forget(self) -> None:
        """Take the model away, so that what comes after has less to look at."""
        sagemaker, table = self.client("sagemaker"), self.session.stack.ledger_table
        if self.describe() is not None:
            sagemaker.delete_endpoint(EndpointName=self.endpoint)
        for key in (Key(pk="endpoints", sk=self.endpoint), Key(pk="models", sk=self.model)):
            item = {name: {"S": value} for name, value in key.model_dump().items()}
            self.client("dynamodb").delete_item(TableName=table, Key=item)

    # What there is to see.

    def describe(self) -> EndpointState | None:
        """Return the endpoint as SageMaker has it."""
        return describe_endpoint(self.client("sagemaker"), self.endpoint)

    def package(self, version: int) -> Package:
        """Return a version as the registry has it."""
        return describe_package(self.client("sagemaker"), self.arns[version])

    def is_busy(self) -> bool:
        """Whether an execution that this model caused is under way."""
        states, recovery = self.client("stepfunctions"), self.function("RecoveryStateMachine")
        running = states.list_executions(stateMachineArn=recovery, statusFilter="RUNNING")
        deploying = [e for e in self.executions("deployment") if e["status"] == "RUNNING"]
        return bool(running["executions"] or deploying)

    def version_of(self, config: str) -> int:
        """Return the version that an endpoint's configuration serves."""
        sagemaker = self.client("sagemaker")
        described = sagemaker.describe_endpoint_config(EndpointConfigName=config)
        name = described["ProductionVariants"][0]["ModelName"]
        model = sagemaker.describe_model(ModelName=name)
        return int(model["PrimaryContainer"]["ModelPackageName"].rpartition("/")[2])

    def function(self, logical_id: str) -> str:
        """Return a resource's physical name, which stays the same."""
        if logical_id not in self._names:
            self._names[logical_id] = super().function(logical_id)
        return self._names[logical_id]

    def _definition(self, kind: Kind, deployment: dict[str, Any]) -> str:
        names = ["nobody-made-it"] if kind == "unwatched" else [self.own_alarm]
        wanted = {**_STRATEGIES.get(kind, _AT_ONCE), "alarms": {"names": names, "periods": 1}}
        if kind in ("canary", "linear"):
            wanted["stand_by"] = 0
        return ModelDefinition.model_validate(
            {
                "name": self.model,
                "data": {"label": "x"},
                "deployment": {**wanted, "capture_percent": 0, **deployment},
            }
        ).model_dump_json(exclude_unset=True)

    def _put(self, uri: str, content: bytes) -> None:
        at = Location.of(uri)
        self.client("s3").put_object(Bucket=at.bucket, Key=at.key, Body=content)

    def _registry(self) -> str:
        found = self.client("ecr").describe_repositories(
            repositoryNames=[self.session.stack.tabular_repository]
        )
        return str(found["repositories"][0]["repositoryUri"]).partition("/")[0]

    def _rule(self, hop: Hop) -> str:
        return self.function(_RULES[hop]).rpartition("|")[2]


def _event(detail_type: str, detail: dict[str, Any]) -> dict[str, Any]:
    return {
        **dict.fromkeys(("id", "account", "region", "version"), "0"),
        "source": "aws.sagemaker",
        "detail-type": detail_type,
        "resources": [],
        "time": "2026-01-01T00:00:00Z",
        "detail": detail,
    }


def _archive(says: dict[str, Any]) -> bytes:
    content, packed = json.dumps(says).encode(), io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("says.json")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()
