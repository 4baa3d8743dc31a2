"""A small world for the unit tests: settings, records, and an AWS of moto's."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from moto import mock_aws

from headrace.aws.ledger import Ledger
from headrace.aws.storage import Storage
from headrace.definition import ModelDefinition
from headrace.records import DatasetRecord, ModelRecord, RunRecord
from headrace.settings import Settings

REGION = "eu-west-1"
ACCOUNT = "123456789012"
MODEL = "credit-risk"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/headrace/tabular@sha256:{'a' * 64}"
EXECUTION = f"arn:aws:states:{REGION}:{ACCOUNT}:execution:headrace-training:credit-risk-run"


def settings(**changes: str) -> Settings:
    variables = {
        "STACK_NAME": "headrace",
        "ENVIRONMENT": "dev",
        "AWS_REGION": REGION,
        "ACCOUNT_ID": ACCOUNT,
        "DATA_BUCKET": "headrace-data",
        "ARTIFACTS_BUCKET": "headrace-artifacts",
        "QUARANTINE_BUCKET": "headrace-quarantine",
        "LEDGER_TABLE": "ledger",
        "BUS_NAME": "headrace",
        "JOB_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/headrace-job",
        "SERVING_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/headrace-serving",
        "TABULAR_REPOSITORY": "headrace/tabular",
        "MINUTE_SECONDS": "60",
        "ALARM_PERIOD_SECONDS": "60",
        "KMS_KEY_ARN": "",
        "SUBNET_IDS": "",
        "SECURITY_GROUP_IDS": "",
        "NETWORK_ISOLATION": "false",
    }
    return Settings.from_mapping(variables | changes)


def locked_down() -> Settings:
    """Settings of an account with its own key, subnets and isolation."""
    return settings(
        KMS_KEY_ARN=f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0f3c",
        SUBNET_IDS="subnet-0a,subnet-0b",
        SECURITY_GROUP_IDS="sg-0a",
        NETWORK_ISOLATION="true",
    )


def definition(**sections: Any) -> ModelDefinition:
    return ModelDefinition.model_validate(
        {"name": MODEL, "data": {"label": "defaulted"}, **sections}
    )


def model_record(**changes: Any) -> ModelRecord:
    values = {
        "model": MODEL,
        "project_version": "a1b2c3d4e5f6",
        "published_at": "2026-11-01T00:00:00.000Z",
        "endpoint": "headrace-credit-risk",
        "package_group": "headrace-credit-risk",
        "approval": "automatic",
    }
    return ModelRecord.model_validate(values | changes)


def dataset_record(version: str, accepted_at: str) -> DatasetRecord:
    return DatasetRecord(
        model=MODEL,
        dataset_version=version,
        drop=version,
        uri=f"s3://headrace-data/datasets/{MODEL}/{version}/",
        rows=1000,
        files=1,
        accepted_at=accepted_at,
    )


def run_record(**changes: Any) -> RunRecord:
    values = {
        "model": MODEL,
        "run": "credit-risk-run",
        "status": "training",
        "reason": "planned",
        "dataset_version": "d2",
        "project_version": "a1b2c3d4e5f6",
        "execution_arn": EXECUTION,
        "training_job": "headrace-credit-risk-run",
        "started_at": "2026-11-22T07:00:00.000Z",
        "dataset_versions": ["d1", "d2"],
        "data_hash": "b" * 32,
        "commit": "0" * 40,
        "image": IMAGE,
    }
    return RunRecord.model_validate(values | changes)


class World:
    """moto's S3, DynamoDB, SageMaker and ECR, with the stack's buckets and table."""

    def __init__(self) -> None:
        self.settings = settings()
        self.s3 = boto3.client("s3", region_name=REGION)
        self.dynamodb = boto3.client("dynamodb", region_name=REGION)
        self.sagemaker = boto3.client("sagemaker", region_name=REGION)
        self.ecr = boto3.client("ecr", region_name=REGION)
        for bucket in ("headrace-data", "headrace-artifacts"):
            self.s3.create_bucket(
                Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
            )
        self.dynamodb.create_table(
            TableName="ledger",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": k, "AttributeType": "S"} for k in ("pk", "sk")],
            KeySchema=[
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
        )
        self.ledger = Ledger("ledger", self.dynamodb)
        self.storage = Storage(self.s3)

    def clear(self) -> None:
        """Forget everything the ledger knows."""
        for item in self.dynamodb.scan(TableName="ledger")["Items"]:
            key = {name: item[name] for name in ("pk", "sk")}
            self.dynamodb.delete_item(TableName="ledger", Key=key)


@contextmanager
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Run with an AWS of moto's, and credentials nobody else would take."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        yield World()
