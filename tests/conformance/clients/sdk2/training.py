"""Estimator with an image of one's own: fit with logs, its results, a failure, attach."""

import os
from pathlib import Path

import sagemaker
from sagemaker.estimator import Estimator
from sagemaker.exceptions import UnexpectedStatusException
from sagemaker.inputs import TrainingInput
from steps import step

ROLE, BUCKET = os.environ["ROLE"], os.environ["BUCKET"]
IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/conformance:1"
session = sagemaker.Session(default_bucket=BUCKET)


def estimator(**hyperparameters):
    return Estimator(
        image_uri=IMAGE,
        role=ROLE,
        instance_count=1,
        instance_type="ml.m5.large",
        output_path=f"s3://{BUCKET}/sdk2-training",
        base_job_name="sdk2-training",
        metric_definitions=[{"Name": "validation:loss", "Regex": "validation:loss=([0-9.]+);"}],
        hyperparameters=hyperparameters,
        sagemaker_session=session,
    )


step("Session.upload_data, Session.list_s3_files, S3Downloader.read_file")
Path("numbers.csv").write_text("1\n2\n6\n")
uri = session.upload_data("numbers.csv", key_prefix="sdk2-training-data")
assert uri == f"s3://{BUCKET}/sdk2-training-data/numbers.csv"
assert session.list_s3_files(BUCKET, "sdk2-training-data") == ["sdk2-training-data/numbers.csv"]
assert sagemaker.s3.S3Downloader.read_file(uri, session) == "1\n2\n6\n"

step("Estimator.fit with TrainingInput, logs streamed")
made = estimator(depth=5)
made.fit({"train": TrainingInput(uri, content_type="text/csv")}, logs="All")

step("Estimator.model_data; download of the model")
name = made.latest_training_job.name
assert made.model_data == f"s3://{BUCKET}/sdk2-training/{name}/output/model.tar.gz"
sagemaker.s3.S3Downloader.download(made.model_data, "model", sagemaker_session=session)
assert Path("model/model.tar.gz").stat().st_size

step("Estimator.latest_training_job.describe, final metrics")
job = made.latest_training_job.describe()
assert job["TrainingJobStatus"] == "Completed"
assert [metric["Value"] for metric in job["FinalMetricDataList"]] == [4.0], job

step("Estimator.training_job_analytics.dataframe")
frame = made.training_job_analytics.dataframe()
assert frame["metric_name"].tolist() == ["validation:loss"], frame
assert frame["value"].tolist() == [4.0], frame

step("Estimator.attach")
attached = Estimator.attach(name, sagemaker_session=session)
assert attached.model_data == made.model_data
assert attached.hyperparameters()["depth"] == "5", attached.hyperparameters()

step("a failing fit raises UnexpectedStatusException with the reason")
try:
    estimator(fail=1).fit()
except UnexpectedStatusException as error:
    assert "the label column is missing" in str(error), error
    assert error.actual_status == "Failed"
else:
    raise AssertionError("fit did not raise")

step("fit(wait=False), stop_training_job, wait")
waiting = estimator()
waiting.fit(wait=False)
session.stop_training_job(waiting.latest_training_job.name)
status = session.wait_for_job(waiting.latest_training_job.name, poll=1)["TrainingJobStatus"]
assert status in ("Stopped", "Completed"), status
