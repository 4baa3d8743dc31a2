"""Model Monitor: job definitions and schedules."""

import os
import time

import boto3
from botocore.exceptions import ClientError
from steps import step

ROLE, BUCKET = os.environ["ROLE"], os.environ["BUCKET"]
sagemaker = boto3.client("sagemaker")

sagemaker.create_model(
    ModelName="boto3-monitored",
    ExecutionRoleArn=ROLE,
    PrimaryContainer={
        "Image": "000000000000.dkr.ecr.us-east-1.amazonaws.com/conformance:1",
        "ModelDataUrl": f"s3://{BUCKET}/models/one.tar.gz",
    },
)
sagemaker.create_endpoint_config(
    EndpointConfigName="boto3-monitored",
    ProductionVariants=[
        {
            "VariantName": "all",
            "ModelName": "boto3-monitored",
            "InstanceType": "ml.m5.large",
            "InitialInstanceCount": 1,
        }
    ],
    DataCaptureConfig={
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{BUCKET}/boto3-monitored",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
    },
)
sagemaker.create_endpoint(EndpointName="boto3-monitored", EndpointConfigName="boto3-monitored")
sagemaker.get_waiter("endpoint_in_service").wait(
    EndpointName="boto3-monitored", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
)

step("create_data_quality_job_definition, describe")
sagemaker.create_data_quality_job_definition(
    JobDefinitionName="boto3-quality",
    DataQualityAppSpecification={
        "ImageUri": "156813124566.dkr.ecr.us-east-1.amazonaws.com/sagemaker-model-monitor-analyzer"
    },
    DataQualityJobInput={
        "EndpointInput": {
            "EndpointName": "boto3-monitored",
            "LocalPath": "/opt/ml/processing/input",
        }
    },
    DataQualityJobOutputConfig={
        "MonitoringOutputs": [
            {
                "S3Output": {
                    "S3Uri": f"s3://{BUCKET}/boto3-monitoring-reports",
                    "LocalPath": "/opt/ml/processing/output",
                }
            }
        ]
    },
    JobResources={
        "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
    },
    RoleArn=ROLE,
)
definition = sagemaker.describe_data_quality_job_definition(JobDefinitionName="boto3-quality")
assert definition["RoleArn"] == ROLE

step("create_monitoring_schedule, describe, stop, start")
schedule = {
    "ScheduleConfig": {"ScheduleExpression": "cron(0 0 ? * * *)"},
    "MonitoringJobDefinitionName": "boto3-quality",
    "MonitoringType": "DataQuality",
}
sagemaker.create_monitoring_schedule(
    MonitoringScheduleName="boto3-schedule", MonitoringScheduleConfig=schedule
)
name = {"MonitoringScheduleName": "boto3-schedule"}

while sagemaker.describe_monitoring_schedule(**name)["MonitoringScheduleStatus"] == "Pending":
    time.sleep(0.1)
described = sagemaker.describe_monitoring_schedule(**name)
assert described["MonitoringScheduleStatus"] == "Scheduled", described
sagemaker.stop_monitoring_schedule(**name)
assert sagemaker.describe_monitoring_schedule(**name)["MonitoringScheduleStatus"] == "Stopped"
sagemaker.start_monitoring_schedule(**name)

step("mistake: an expression that AWS does not know raises ValidationException")
try:
    sagemaker.update_monitoring_schedule(
        **name,
        MonitoringScheduleConfig={
            **schedule,
            "ScheduleConfig": {"ScheduleExpression": "cron(5 * ? * * *)"},
        },
    )
except ClientError as error:
    assert error.response["Error"]["Code"] == "ValidationException", error
else:
    raise AssertionError("the expression was accepted")

step("mistake: an unknown schedule raises ResourceNotFound")
try:
    sagemaker.describe_monitoring_schedule(MonitoringScheduleName="boto3-none")
except sagemaker.exceptions.ResourceNotFound:
    pass
else:
    raise AssertionError("an unknown schedule was described")

step("delete_monitoring_schedule, delete_data_quality_job_definition")
sagemaker.delete_monitoring_schedule(**name)
sagemaker.delete_data_quality_job_definition(JobDefinitionName="boto3-quality")
sagemaker.delete_endpoint(EndpointName="boto3-monitored")
