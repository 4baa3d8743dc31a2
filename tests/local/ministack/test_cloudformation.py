"""`sam deploy` against the local AWS: what the template says is what there is."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.local.conftest import ROOT, LocalAws, wait_until
from tests.local.ministack.helpers import finish, unique

SAM = ROOT / ".venv" / "sam" / "bin" / "sam"

CHILD = """
Parameters: {Days: {Type: Number}}
Resources:
  Bucket:
    Type: AWS::S3::Bucket
    Properties:
      VersioningConfiguration: {Status: Enabled}
      BucketEncryption:
        ServerSideEncryptionConfiguration:
          - BucketKeyEnabled: true
            ServerSideEncryptionByDefault: {SSEAlgorithm: "aws:kms", KMSMasterKeyID: alias/x}
      NotificationConfiguration: {EventBridgeConfiguration: {EventBridgeEnabled: true}}
      LifecycleConfiguration:
        Rules:
          - Id: old
            Status: Enabled
            Prefix: tmp/
            ExpirationInDays: !Ref Days
            NoncurrentVersionExpiration: {NoncurrentDays: 30}
            AbortIncompleteMultipartUpload: {DaysAfterInitiation: 7}
            Transitions: [{StorageClass: GLACIER, TransitionInDays: 1}]
Outputs: {Name: {Value: !Ref Bucket}}
"""

TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Parameters: {Runtime: {Type: String, Default: python3.13}}
Globals: {Function: {Runtime: !Ref Runtime}}
Resources:
  Child:
    Type: AWS::CloudFormation::Stack
    Properties: {TemplateURL: child.yaml, Parameters: {Days: 3}}
  Dead: {Type: AWS::SQS::Queue}
  DeadPolicy:
    Type: AWS::SQS::QueuePolicy
    Properties:
      Queues: [!Ref Dead]
      PolicyDocument:
        Statement:
          - Effect: Allow
            Principal: {Service: events.amazonaws.com}
            Action: sqs:SendMessage
            Resource: !GetAtt Dead.Arn
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
      KeySchema: [{AttributeName: id, KeyType: HASH}]
      TimeToLiveSpecification: {AttributeName: expires, Enabled: true}
      PointInTimeRecoverySpecification: {PointInTimeRecoveryEnabled: true}
      SSESpecification: {SSEEnabled: true, SSEType: KMS}
  Function:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: fn
      Handler: app.handler
      DeadLetterQueue: {Type: SQS, TargetArn: !GetAtt Dead.Arn}
      ReservedConcurrentExecutions: 3
      KmsKeyArn: arn:aws:kms:us-east-1:000000000000:key/x
      EventInvokeConfig:
        MaximumRetryAttempts: 1
        DestinationConfig: {OnFailure: {Type: SQS, Destination: !GetAtt Dead.Arn}}
      Events:
        Rule:
          Type: EventBridgeRule
          Properties:
            Pattern: {source: [x]}
            RetryPolicy: {MaximumRetryAttempts: 24}
            DeadLetterConfig: {Arn: !GetAtt Dead.Arn}
  Machine:
    Type: AWS::Serverless::StateMachine
    Properties:
      DefinitionUri: machine.asl.yaml
      DefinitionSubstitutions: {Function: !GetAtt Function.Arn}
      Policies: [{LambdaInvokePolicy: {FunctionName: !Ref Function}}]
  Schedule:
    Type: AWS::Scheduler::Schedule
    Properties:
      ScheduleExpression: rate(1 day)
      FlexibleTimeWindow: {Mode: "OFF"}
      Target: {Arn: !Ref Machine, RoleArn: !GetAtt MachineRole.Arn}
  Alarm:
    Type: AWS::CloudWatch::CompositeAlarm
    Properties: {AlarmName: !Sub "${AWS::StackName}-all", AlarmRule: "TRUE"}
Outputs:
  Bucket: {Value: !GetAtt Child.Outputs.Name}
  Table: {Value: !Ref Table}
  Function: {Value: !Ref Function}
  Machine: {Value: !Ref Machine}
  Alarm: {Value: !GetAtt Alarm.Arn}
"""

MACHINE = """
QueryLanguage: JSONata
StartAt: Call
States:
  Call:
    Type: Task
    Resource: arn:aws:states:::lambda:invoke
    Arguments: {FunctionName: "${Function}", Payload: {n: "{% $states.input.n + 1 %}"}}
    Output: "{% $states.result.Payload %}"
    End: true
"""


@pytest.fixture(scope="module")
def outputs(aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    folder, name = tmp_path_factory.mktemp("sam"), unique("stack")
    (folder / "fn").mkdir()
    for path, text in (
        ("template.yaml", TEMPLATE),
        ("child.yaml", CHILD),
        ("machine.asl.yaml", MACHINE),
        ("fn/app.py", "def handler(event, context): return event"),
    ):
        (folder / path).write_text(text)
    run_sam(
        aws,
        folder,
        "deploy",
        "--stack-name",
        name,
        "--resolve-s3",
        "--capabilities",
        "CAPABILITY_IAM",
        "--parameter-overrides",
        "Runtime=python3.11",
    )
    found = aws.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]["Outputs"]
    yield {each["OutputKey"]: each["OutputValue"] for each in found}
    aws.client("cloudformation").delete_stack(StackName=name)
    aws.client("cloudformation").get_waiter("stack_delete_complete").wait(
        StackName=name, WaiterConfig={"Delay": 1}
    )


def run_sam(aws: LocalAws, folder: Path, *arguments: str) -> None:
    environment = {
        **os.environ,
        "SAM_CLI_TELEMETRY": "0",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": aws.facts["endpoint_url"],
        "AWS_ACCESS_KEY_ID": aws.facts["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": aws.facts["secret_access_key"],
    }
    done = subprocess.run(
        [str(SAM), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_machine_defined_in_yaml_runs(aws: LocalAws, outputs: dict[str, str]) -> None:
    started = aws.client("stepfunctions").start_execution(
        stateMachineArn=outputs["Machine"], input='{"n": 1}'
    )
    assert json.loads(finish(aws, started["executionArn"])["output"]) == {"n": 2}


def test_no_property_of_the_function_is_dropped(aws: LocalAws, outputs: dict[str, str]) -> None:
    client, name = aws.client("lambda"), outputs["Function"]
    found = client.get_function(FunctionName=name)
    settings: dict[str, Any] = found["Configuration"]
    assert settings["Runtime"] == "python3.11", "the override, not the template's default"
    assert settings["DeadLetterConfig"]["TargetArn"].startswith("arn:aws:sqs:")
    assert settings["KMSKeyArn"] == "arn:aws:kms:us-east-1:000000000000:key/x"
    assert found["Concurrency"]["ReservedConcurrentExecutions"] == 3
    rules = client.get_function_event_invoke_config(FunctionName=name, Qualifier="$LATEST")
    assert rules["MaximumRetryAttempts"] == 1
    assert rules["DestinationConfig"]["OnFailure"]["Destination"].startswith("arn:aws:sqs:")


def test_no_property_of_the_bucket_is_dropped(aws: LocalAws, outputs: dict[str, str]) -> None:
    s3, bucket = aws.client("s3"), {"Bucket": outputs["Bucket"]}
    rule = s3.get_bucket_lifecycle_configuration(**bucket)["Rules"][0]
    assert (rule["ID"], rule["Filter"], rule["Expiration"]) == (
        "old",
        {"Prefix": "tmp/"},
        {"Days": 3},
    )
    assert rule["Transitions"] == [{"Days": 1, "StorageClass": "GLACIER"}]
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    encryption = s3.get_bucket_encryption(**bucket)["ServerSideEncryptionConfiguration"]
    default = encryption["Rules"][0]["ApplyServerSideEncryptionByDefault"]
    assert default == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "alias/x"}


def test_no_property_of_the_table_is_dropped(aws: LocalAws, outputs: dict[str, str]) -> None:
    dynamodb, table = aws.client("dynamodb"), {"TableName": outputs["Table"]}
    lifetime = dynamodb.describe_time_to_live(**table)["TimeToLiveDescription"]
    assert lifetime == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires"}
    backups = dynamodb.describe_continuous_backups(**table)["ContinuousBackupsDescription"]
    recovery = backups["PointInTimeRecoveryDescription"]
    assert recovery["PointInTimeRecoveryStatus"] == "ENABLED"
    assert dynamodb.describe_table(**table)["Table"]["SSEDescription"]["Status"] == "ENABLED"


def test_a_composite_alarm_is_made(aws: LocalAws, outputs: dict[str, str]) -> None:
    name = outputs["Alarm"].rsplit(":", 1)[-1]
    found = aws.client("cloudwatch").describe_alarms(
        AlarmNames=[name], AlarmTypes=["CompositeAlarm"]
    )["CompositeAlarms"]
    assert [each["StateValue"] for each in found] == ["ALARM"]


@pytest.mark.parametrize("nested", [False, True])
def test_an_updated_resource_keeps_its_attributes(aws: LocalAws, nested: bool) -> None:
    """Fn::GetAtt documents attributes of a resource, not of its creation."""
    cloudformation, s3, name = aws.client("cloudformation"), aws.client("s3"), unique("stack")
    kinds = ("Repository", "Bucket")
    s3.create_bucket(Bucket=f"{name}-templates")

    def template(scan: bool) -> str:
        repository = {
            "Type": "AWS::ECR::Repository",
            "Properties": {
                "RepositoryName": name,
                "ImageScanningConfiguration": {"ScanOnPush": scan},
            },
        }
        bucket = {
            "Type": "AWS::S3::Bucket",
            "Properties": {
                "BucketName": f"{name}-bucket",
                "VersioningConfiguration": {"Status": "Enabled" if scan else "Suspended"},
            },
        }
        outputs = {kind: {"Value": {"Fn::GetAtt": [kind, "Arn"]}} for kind in kinds}
        resources = {"Repository": repository, "Bucket": bucket}
        own = json.dumps({"Resources": resources, "Outputs": outputs})
        if not nested:
            return own
        s3.put_object(Bucket=f"{name}-templates", Key=str(scan), Body=own.encode())
        url = f"{aws.facts['endpoint_url']}/{name}-templates/{scan}"
        child = {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url}}
        outputs = {k: {"Value": {"Fn::GetAtt": ["Child", f"Outputs.{k}"]}} for k in kinds}
        return json.dumps({"Resources": {"Child": child}, "Outputs": outputs})

    def described() -> dict[str, Any]:
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        outputs = {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])}
        return {"status": stack["StackStatus"], "outputs": outputs}

    cloudformation.create_stack(StackName=name, TemplateBody=template(scan=False))
    wait_until(lambda: "PROGRESS" not in described()["status"], what="the creation")
    before = described()
    assert before["outputs"].keys() == set(kinds), before
    cloudformation.update_stack(StackName=name, TemplateBody=template(scan=True))
    wait_until(lambda: "PROGRESS" not in described()["status"], what="the update")
    assert described() == {**before, "status": "UPDATE_COMPLETE"}
