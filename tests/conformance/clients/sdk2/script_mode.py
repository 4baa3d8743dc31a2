"""Script mode: the user's script with AWS's framework images, by every kind of estimator."""

import json
import os
from pathlib import Path

import sagemaker
from sagemaker.exceptions import UnexpectedStatusException
from sagemaker.pytorch import PyTorch
from sagemaker.sklearn import SKLearn
from sagemaker.xgboost import XGBoost
from steps import step

ROLE, BUCKET = os.environ["ROLE"], os.environ["BUCKET"]
session = sagemaker.Session(default_bucket=BUCKET)
common = {
    "role": ROLE,
    "instance_count": 1,
    "instance_type": "ml.m5.large",
    "sagemaker_session": session,
    "output_path": f"s3://{BUCKET}/sdk2-script-mode",
}

Path("src").mkdir()
Path("src/helper.py").write_text("def double(x):\n    return 2 * x\n")
Path("src/train.py").write_text(
    """
import argparse, json, os
from helper import double

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int)
parser.add_argument("--name")
parser.add_argument("--train", default=os.environ["SM_CHANNEL_TRAIN"])
parser.add_argument("--model-dir", default=os.environ["SM_MODEL_DIR"])
args = parser.parse_args()
if args.name == "fail":
    raise ValueError("a column is missing")
rows = open(os.path.join(args.train, "rows.csv")).read().splitlines()
print(f"loss={1 / args.epochs};")
with open(os.path.join(args.model_dir, "model.json"), "w") as file:
    json.dump({"rows": len(rows), "epochs": double(args.epochs), "name": args.name}, file)
"""
)
Path("src/inference.py").write_text(
    """
import json, os

def model_fn(model_dir):
    return json.load(open(os.path.join(model_dir, "model.json")))

def input_fn(body, content_type):
    return json.loads(body)

def predict_fn(data, model):
    return {"rows": model["rows"], "sum": sum(data)}

def output_fn(prediction, accept):
    return json.dumps(prediction), "application/json"
"""
)
Path("rows.csv").write_text("0,1\n1,2\n1,3\n0,4\n")
rows = session.upload_data("rows.csv", key_prefix="sdk2-script-mode-data")


def trained(estimator):
    """What the script left as its model."""
    sagemaker.s3.S3Downloader.download(estimator.model_data, "got", sagemaker_session=session)
    os.system("tar xzf got/model.tar.gz -C got")
    return json.loads(Path("got/model.json").read_text())


step("SKLearn.fit: source_dir, hyperparameters, logs streamed")
hyperparameters = {"epochs": 4, "name": "four words of text"}
sklearn = SKLearn(
    entry_point="train.py",
    source_dir="src",
    framework_version="1.2-1",
    hyperparameters=hyperparameters,
    metric_definitions=[{"Name": "loss", "Regex": "loss=([0-9.]+);"}],
    **common,
)
sklearn.fit({"train": rows})
assert trained(sklearn) == {"rows": 4, "epochs": 8, "name": "four words of text"}
job = sklearn.latest_training_job.describe()
assert job["FinalMetricDataList"][0]["Value"] == 0.25, job

step("SKLearn.deploy with another entry point, predict, delete_endpoint")
predictor = sklearn.deploy(
    1,
    "ml.m5.large",
    entry_point="inference.py",
    source_dir="src",
    serializer=sagemaker.serializers.JSONSerializer(),
    deserializer=sagemaker.deserializers.JSONDeserializer(),
)
assert predictor.predict([1, 2, 3]) == {"rows": 4, "sum": 6}
predictor.delete_endpoint()

step("a failing script raises UnexpectedStatusException with its error")
failing = SKLearn(
    entry_point="train.py",
    source_dir="src",
    framework_version="1.2-1",
    hyperparameters={"epochs": 1, "name": "fail"},
    **common,
)
try:
    failing.fit({"train": rows})
except UnexpectedStatusException as error:
    assert "a column is missing" in str(error), error
    assert "ExecuteUserScriptError" in str(error), error
else:
    raise AssertionError("fit did not raise")

step("PyTorch.fit")
pytorch = PyTorch(
    entry_point="train.py",
    source_dir="src",
    framework_version="2.1",
    py_version="py310",
    hyperparameters=hyperparameters,
    **common,
)
pytorch.fit({"train": rows})
assert trained(pytorch)["epochs"] == 8

step("XGBoost.fit in script mode, with one file as entry point")
Path("alone.py").write_text(
    """
import os
import numpy, xgboost

table = numpy.loadtxt(os.environ["SM_CHANNEL_TRAIN"] + "/rows.csv", delimiter=",")
data = xgboost.DMatrix(table[:, 1:], label=table[:, 0])
xgboost.train({"max_depth": 2}, data).save_model(os.environ["SM_MODEL_DIR"] + "/xgboost-model.json")
open(os.environ["SM_MODEL_DIR"] + "/model.json", "w").write('{"done": true}')
"""
)
boosted = XGBoost(entry_point="alone.py", framework_version="1.7-1", **common)
boosted.fit({"train": rows}, logs=False)
assert trained(boosted) == {"done": True}
