"""DefaultModelMonitor: a baseline, a schedule of an endpoint that runs, its executions."""

import os
import time
from pathlib import Path

import boto3
import sagemaker
from sagemaker.model import Model
from sagemaker.model_monitor import (
    CronExpressionGenerator,
    DataCaptureConfig,
    DefaultModelMonitor,
)
from sagemaker.model_monitor.dataset_format import DatasetFormat
from sagemaker.predictor import Predictor
from sagemaker.serializers import CSVSerializer
from steps import step

ROLE, BUCKET = os.environ["ROLE"], os.environ["BUCKET"]
IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/conformance:1"
session = sagemaker.Session(default_bucket=BUCKET)
Path("train.csv").write_text("a,b\n" + "".join(f"{n},{n / 2}\n" for n in range(100)))
monitor = DefaultModelMonitor(
    role=ROLE, instance_count=1, instance_type="ml.m5.large", sagemaker_session=session
)

step("DefaultModelMonitor.suggest_baseline")
monitor.suggest_baseline(
    baseline_dataset="train.csv",
    dataset_format=DatasetFormat.csv(header=True),
    output_s3_uri=f"s3://{BUCKET}/sdk2-baseline",
    logs=False,
)

step("DefaultModelMonitor.baseline_statistics, suggested_constraints")
statistics = monitor.baseline_statistics().body_dict
assert statistics["dataset"]["item_count"] == 100, statistics
constraints = monitor.suggested_constraints().body_dict
assert [each["name"] for each in constraints["features"]] == ["a", "b"], constraints

step("DefaultModelMonitor.create_monitoring_schedule of an endpoint")
model = Model(
    IMAGE,
    f"s3://{BUCKET}/models/one.tar.gz",
    ROLE,
    predictor_cls=Predictor,
    sagemaker_session=session,
)
predictor = model.deploy(
    1,
    "ml.m5.large",
    endpoint_name="sdk2-monitored",
    serializer=CSVSerializer(),
    data_capture_config=DataCaptureConfig(
        True, 100, f"s3://{BUCKET}/sdk2-monitored", sagemaker_session=session
    ),
)
for number in range(10):
    predictor.predict(f"{number},many")
monitor.create_monitoring_schedule(
    monitor_schedule_name="sdk2-schedule",
    endpoint_input="sdk2-monitored",
    output_s3_uri=f"s3://{BUCKET}/sdk2-reports",
    statistics=monitor.baseline_statistics(),
    constraints=monitor.suggested_constraints(),
    schedule_cron_expression=CronExpressionGenerator.hourly(),
    enable_cloudwatch_metrics=True,
)

step("DefaultModelMonitor.describe_schedule")
described = monitor.describe_schedule()
assert described["MonitoringScheduleStatus"] in ("Pending", "Scheduled"), described

step("the schedule runs: DefaultModelMonitor.list_executions")
ended, deadline = [], time.time() + 240
while not ended and time.time() < deadline:
    predictor.predict("1,many")
    time.sleep(1)
    client = boto3.client("sagemaker")
    executions = client.list_monitoring_executions(MonitoringScheduleName="sdk2-schedule")
    states = [
        each["MonitoringExecutionStatus"] for each in executions["MonitoringExecutionSummaries"]
    ]
    ended = [state for state in states if state.startswith("Completed")]
assert ended, executions
executions = monitor.list_executions()
assert executions

step("MonitoringExecution.constraint_violations")
done = [each for each in executions if "Completed" in str(each.describe()["ProcessingJobStatus"])]
violations = done[-1].constraint_violations().body_dict["violations"]
assert violations, violations

step("DefaultModelMonitor.stop_monitoring_schedule, start, delete")
monitor.stop_monitoring_schedule()
monitor.start_monitoring_schedule()
monitor.stop_monitoring_schedule()
monitor.delete_monitoring_schedule()
predictor.delete_endpoint()
