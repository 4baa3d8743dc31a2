"""Built-in XGBoost by image_uris.retrieve: fit, deploy, predict."""

import os

import numpy
import sagemaker
from sagemaker.estimator import Estimator
from sagemaker.inputs import TrainingInput
from steps import step

ROLE, BUCKET = os.environ["ROLE"], os.environ["BUCKET"]
session = sagemaker.Session(default_bucket=BUCKET)
image = sagemaker.image_uris.retrieve("xgboost", "us-east-1", "1.7-1")

generator = numpy.random.default_rng(1)
features = generator.normal(size=(200, 3))
label = (features[:, :1] > 0).astype(int)
numpy.savetxt("train.csv", numpy.hstack([label, features])[:150], delimiter=",", fmt="%g")
numpy.savetxt("test.csv", numpy.hstack([label, features])[150:], delimiter=",", fmt="%g")

step("Estimator(image_uris.retrieve('xgboost')).fit with train and validation")
estimator = Estimator(
    image,
    ROLE,
    instance_count=1,
    instance_type="ml.m5.large",
    output_path=f"s3://{BUCKET}/sdk2-xgboost",
    sagemaker_session=session,
)
estimator.set_hyperparameters(
    objective="binary:logistic", num_round=20, max_depth=3, eval_metric="auc"
)
estimator.fit(
    {
        part: TrainingInput(
            session.upload_data(f"{part}.csv", key_prefix=f"sdk2-xgboost/{part}"),
            content_type="text/csv",
        )
        for part in ("train",)
    }
    | {
        "validation": TrainingInput(
            session.upload_data("test.csv", key_prefix="sdk2-xgboost/validation"),
            content_type="text/csv",
        )
    }
)

step("its metrics: validation:auc in FinalMetricDataList")
job = estimator.latest_training_job.describe()
metrics = {metric["MetricName"]: metric["Value"] for metric in job["FinalMetricDataList"]}
assert metrics["validation:auc"] > 0.9, metrics

step("Estimator.deploy; Predictor.predict of CSV")
predictor = estimator.deploy(
    1,
    "ml.m5.large",
    serializer=sagemaker.serializers.CSVSerializer(),
    deserializer=sagemaker.deserializers.CSVDeserializer(),
)
answers = numpy.array(predictor.predict(features[150:]), dtype=float).ravel()
assert answers.shape == (50,), answers
assert ((answers > 0.5) == label[150:].ravel()).mean() > 0.9

step("Predictor.delete_model, delete_endpoint")
predictor.delete_model()
predictor.delete_endpoint()
