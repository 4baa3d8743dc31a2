"""ModelTrainer: source code on an image, logs streamed, a failure, results."""

import os
from pathlib import Path

from sagemaker.core.helper.session_helper import Session
from sagemaker.core.resources import TrainingJob
from sagemaker.core.s3 import S3Downloader
from sagemaker.core.utils.exceptions import FailedStatusError
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, OutputDataConfig, SourceCode
from steps import step

ROLE, BUCKET = os.environ["ROLE"], os.environ["BUCKET"]
IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/conformance:1"
session = Session(default_bucket=BUCKET)
Path("src").mkdir()
Path("src/train.py").write_text(
    """
import json, os, sys

hyperparameters = json.loads(os.environ["SM_HPS"])
rows = open(os.environ["SM_CHANNEL_TRAIN"] + "/rows.csv").read().splitlines()
if hyperparameters["epochs"] == 0:
    sys.exit("no epochs wanted")
print("training on", len(rows), "rows")
with open(os.environ["SM_MODEL_DIR"] + "/text", "w") as file:
    file.write(f"{len(rows)} rows, {hyperparameters['epochs']} epochs")
"""
)
Path("rows").mkdir()
Path("rows/rows.csv").write_text("1\n2\n3\n")


def trainer(epochs):
    return ModelTrainer(
        training_image=IMAGE,
        role=ROLE,
        sagemaker_session=session,
        base_job_name="sdk3-training",
        source_code=SourceCode(source_dir="src", entry_script="train.py"),
        compute=Compute(instance_type="ml.m5.large", instance_count=1),
        hyperparameters={"epochs": epochs},
        output_data_config=OutputDataConfig(s3_output_path=f"s3://{BUCKET}/sdk3-training"),
    )


step("ModelTrainer.train: SourceCode, InputData from a folder, logs streamed")
made = trainer(4)
made.train(input_data_config=[InputData(channel_name="train", data_source="rows")])

step("TrainingJob: status, model_artifacts")
job = made._latest_training_job
job.refresh()
assert job.training_job_status == "Completed", job.training_job_status
artifacts = job.model_artifacts.s3_model_artifacts
S3Downloader.download(artifacts, "model", sagemaker_session=session)
os.system("tar xzf model/model.tar.gz -C model")
assert Path("model/text").read_text() == "3 rows, 4 epochs"

step("TrainingJob.get, get_all")
again = TrainingJob.get(job.training_job_name)
assert again.training_job_arn == job.training_job_arn
names = [each.training_job_name for each in TrainingJob.get_all(name_contains="sdk3-training")]
assert job.training_job_name in names, names

step("a failing train raises FailedStatusError with the reason")
try:
    trainer(0).train(input_data_config=[InputData(channel_name="train", data_source="rows")])
except FailedStatusError as error:
    assert "Failed" in str(error), error
else:
    raise AssertionError("train did not raise")

step("ModelTrainer.train(wait=False); TrainingJob.stop, wait")
stopped = trainer(1)
stopped.train(
    input_data_config=[InputData(channel_name="train", data_source="rows")], wait=False, logs=False
)
stopped._latest_training_job.stop()
stopped._latest_training_job.wait(logs=False)
