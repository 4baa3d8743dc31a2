"""Monitoring definitions and schedules for tests."""

from typing import Any

from tests.local.sagemaker.conftest import BUCKET, ROLE

ANALYZER = "156813124566.dkr.ecr.us-east-1.amazonaws.com/sagemaker-model-monitor-analyzer"
INPUT = {"EndpointName": "monitored", "LocalPath": "/opt/ml/processing/input/endpoint"}
RESOURCES = {
    "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
}


def output(uri: str) -> dict[str, Any]:
    target = {"S3Uri": uri, "LocalPath": "/opt/ml/processing/output", "S3UploadMode": "EndOfJob"}
    return {"MonitoringOutputs": [{"S3Output": target}]}


def data_quality(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "JobDefinitionName": name,
        "DataQualityAppSpecification": {"ImageUri": ANALYZER},
        "DataQualityJobInput": {"EndpointInput": INPUT},
        "DataQualityJobOutputConfig": output(f"s3://{BUCKET}/{name}/reports"),
        "JobResources": RESOURCES,
        "RoleArn": ROLE,
        **changes,
    }


def schedule(name: str, when: dict[str, str], kind: str = "DataQuality") -> dict[str, Any]:
    config = {"ScheduleConfig": when, "MonitoringJobDefinitionName": name, "MonitoringType": kind}
    return {"MonitoringScheduleName": name, "MonitoringScheduleConfig": config}


HOURLY = {"ScheduleExpression": "cron(0 * ? * * *)"}
NOW = {
    "ScheduleExpression": "NOW",
    "DataAnalysisStartTime": "-PT1H",
    "DataAnalysisEndTime": "-PT0H",
}
