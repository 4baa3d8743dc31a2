"""HyperparameterTuner of a ModelTrainer."""

import os

from sagemaker.core.helper.session_helper import Session
from sagemaker.core.parameter import ContinuousParameter
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, OutputDataConfig
from sagemaker.train.tuner import HyperparameterTuner
from steps import step

ROLE, BUCKET = os.environ["ROLE"], os.environ["BUCKET"]
session = Session(default_bucket=BUCKET)

step("HyperparameterTuner.tune of a ModelTrainer")
tuner = HyperparameterTuner(
    ModelTrainer(
        training_image="000000000000.dkr.ecr.us-east-1.amazonaws.com/conformance:1",
        role=ROLE,
        sagemaker_session=session,
        base_job_name="sdk3-tuning",
        compute=Compute(instance_type="ml.m5.large", instance_count=1),
        output_data_config=OutputDataConfig(s3_output_path=f"s3://{BUCKET}/sdk3-tuning"),
    ),
    "validation:loss",
    {"depth": ContinuousParameter(0, 10)},
    metric_definitions=[{"Name": "validation:loss", "Regex": "validation:loss=([0-9.]+);"}],
    objective_type="Minimize",
    strategy="Random",
    max_jobs=3,
    max_parallel_jobs=2,
    base_tuning_job_name="sdk3-tuning",
)
tuner.tune(wait=True)

step("HyperparameterTuner.best_training_job, describe")
best = tuner.best_training_job()
job = tuner.describe()
assert job.hyper_parameter_tuning_job_status == "Completed", job
assert job.best_training_job.training_job_name == best, (job.best_training_job, best)
assert job.training_job_status_counters.completed == 3

step("HyperparameterTuner.analytics().dataframe")
frame = tuner.analytics().dataframe()
assert len(frame) == 3, frame
assert (abs((frame["depth"] - 3) ** 2 - frame["FinalObjectiveValue"]) < 1e-6).all(), frame
