"""The modes of serving: serverless, asynchronous, multi-model."""

import json
import os
from pathlib import Path

import sagemaker
from sagemaker.async_inference import AsyncInferenceConfig, WaiterConfig
from sagemaker.deserializers import JSONDeserializer, StringDeserializer
from sagemaker.exceptions import AsyncInferenceModelError
from sagemaker.model import Model
from sagemaker.multidatamodel import MultiDataModel
from sagemaker.predictor import Predictor
from sagemaker.predictor_async import AsyncPredictor
from sagemaker.serializers import CSVSerializer
from sagemaker.serverless import ServerlessInferenceConfig
from steps import step

ROLE, BUCKET = os.environ["ROLE"], os.environ["BUCKET"]
REGISTRY = "000000000000.dkr.ecr.us-east-1.amazonaws.com"
session = sagemaker.Session(default_bucket=BUCKET)
plain = {"serializer": CSVSerializer(), "deserializer": JSONDeserializer()}


def model():
    return Model(
        f"{REGISTRY}/conformance:1",
        f"s3://{BUCKET}/models/one.tar.gz",
        ROLE,
        predictor_cls=Predictor,
        sagemaker_session=session,
    )


step("Model.deploy with ServerlessInferenceConfig; predict")
serverless = model().deploy(
    serverless_inference_config=ServerlessInferenceConfig(
        memory_size_in_mb=2048, max_concurrency=2
    ),
    endpoint_name="sdk2-serverless",
    **plain,
)
assert serverless.predict("x") == {"model": "one", "body": "x"}
described = session.describe_endpoint("sdk2-serverless")["ProductionVariants"][0]
assert described["CurrentServerlessConfig"]["MemorySizeInMB"] == 2048, described

step("Model.deploy with AsyncInferenceConfig")
asynchronous = model().deploy(
    1,
    "ml.m5.large",
    endpoint_name="sdk2-async",
    async_inference_config=AsyncInferenceConfig(
        output_path=f"s3://{BUCKET}/sdk2-async/output",
        failure_path=f"s3://{BUCKET}/sdk2-async/failures",
        max_concurrent_invocations_per_instance=2,
    ),
    **plain,
)

step("AsyncPredictor.predict, predict_async and get_result")
quickly = WaiterConfig(max_attempts=60, delay=1)
assert asynchronous.predict("x", waiter_config=quickly) == {"model": "one", "body": "x"}
Path("rows.csv").write_text("1,2")
rows = session.upload_data("rows.csv", key_prefix="sdk2-async/input")
answer = asynchronous.predict_async(input_path=rows)
assert answer.output_path.startswith(f"s3://{BUCKET}/sdk2-async/output/")
assert answer.get_result(quickly) == {"model": "one", "body": "1,2"}

step("a failure: get_result raises AsyncInferenceModelError")
texts = Predictor("sdk2-async", session, CSVSerializer(), StringDeserializer())
try:
    AsyncPredictor(texts).predict_async("fail").get_result(quickly)
except AsyncInferenceModelError as error:
    assert "asked to fail" in str(error), error
else:
    raise AssertionError("the failure was not reported")

step("MultiDataModel.deploy, add_model, list_models")
multi = MultiDataModel(
    "sdk2-multi",
    f"s3://{BUCKET}/sdk2-multi/",
    image_uri=f"{REGISTRY}/conformance-multi:1",
    role=ROLE,
    sagemaker_session=session,
)
for text in ("one", "two"):
    multi.add_model(f"s3://{BUCKET}/models/{text}.tar.gz", f"{text}.tar.gz")
assert sorted(multi.list_models()) == ["one.tar.gz", "two.tar.gz"]
multi.deploy(1, "ml.m5.large", endpoint_name="sdk2-multi")

step("Predictor.predict with target_model")
predictor = Predictor("sdk2-multi", session, **plain)
for text in ("two", "one", "two"):
    answer = predictor.predict("x", target_model=f"{text}.tar.gz")
    assert answer["model"] == text, json.dumps(answer)
for each in (serverless, asynchronous, predictor):
    each.delete_endpoint()
