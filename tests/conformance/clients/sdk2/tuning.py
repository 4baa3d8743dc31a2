"""HyperparameterTuner: fit, analytics, best job, warm start, deploy of the best."""

import os

import sagemaker
from sagemaker.deserializers import JSONDeserializer
from sagemaker.estimator import Estimator
from sagemaker.serializers import CSVSerializer
from sagemaker.tuner import (
    CategoricalParameter,
    ContinuousParameter,
    HyperparameterTuner,
    IntegerParameter,
    WarmStartTypes,
)
from steps import step

ROLE, BUCKET = os.environ["ROLE"], os.environ["BUCKET"]
session = sagemaker.Session(default_bucket=BUCKET)
estimator = Estimator(
    "000000000000.dkr.ecr.us-east-1.amazonaws.com/conformance:1",
    ROLE,
    1,
    "ml.m5.large",
    output_path=f"s3://{BUCKET}/sdk2-tuning",
    sagemaker_session=session,
)


def tuner(strategy, jobs, ranges, **options):
    return HyperparameterTuner(
        estimator,
        "validation:loss",
        ranges,
        metric_definitions=[{"Name": "validation:loss", "Regex": "validation:loss=([0-9.]+);"}],
        strategy=strategy,
        objective_type="Minimize",
        max_jobs=jobs,
        max_parallel_jobs=2,
        base_tuning_job_name=f"sdk2-{strategy.lower()}",
        **options,
    )


step("HyperparameterTuner.fit, Bayesian")
ranges = {"depth": ContinuousParameter(0, 10), "width": IntegerParameter(1, 3)}
bayesian = tuner("Bayesian", 6, ranges)
bayesian.fit()

step("HyperparameterTuner.best_training_job, best_estimator")
best = bayesian.best_training_job()
assert best.startswith(bayesian.latest_tuning_job.name), best
assert bayesian.best_estimator().model_data.endswith(f"{best}/output/model.tar.gz")

step("HyperparameterTuner.analytics().dataframe")
analytics = bayesian.analytics()
frame = analytics.dataframe()
assert len(frame) == 6, frame
assert set(frame["TrainingJobStatus"]) == {"Completed"}
assert frame["depth"].between(0, 10).all()
assert (abs((frame["depth"] - 3) ** 2 - frame["FinalObjectiveValue"]) < 1e-6).all(), frame
assert frame.loc[frame["FinalObjectiveValue"].idxmin(), "TrainingJobName"] == best
assert set(analytics.tuning_ranges) == {"depth", "width"}, analytics.tuning_ranges
assert analytics.description()["HyperParameterTuningJobStatus"] == "Completed"

step("HyperparameterTuner.fit, Grid")
grid = tuner("Grid", 3, {"depth": CategoricalParameter(["1", "3", "5"])})
grid.fit(wait=False)
grid.wait()
assert sorted(grid.analytics().dataframe()["FinalObjectiveValue"]) == [0, 4, 4]

step("HyperparameterTuner.transfer_learning_tuner: a warm start")
warm = bayesian.transfer_learning_tuner()
assert warm.warm_start_config.type == WarmStartTypes.TRANSFER_LEARNING
assert warm.warm_start_config.parents == {bayesian.latest_tuning_job.name}
warm.max_jobs, warm.max_parallel_jobs = 2, 2
warm.metric_definitions = bayesian.metric_definitions  # which the SDK does not take over
warm.fit()

step("HyperparameterTuner.attach")
attached = HyperparameterTuner.attach(grid.latest_tuning_job.name, sagemaker_session=session)
assert attached.best_training_job() == grid.best_training_job()

step("HyperparameterTuner.deploy of the best; predict")
predictor = bayesian.deploy(
    1, "ml.m5.large", serializer=CSVSerializer(), deserializer=JSONDeserializer()
)
assert predictor.predict("x")["model"] in ("0", "0.0")
predictor.delete_endpoint()
