"""Script mode and script-mode inference in AWS's framework images, as the SDKs ask for them.

Pages: "Use a SageMaker AI framework image with your own script", the SageMaker Training Toolkit's
README, and the inference functions of the SageMaker Python SDK's scikit-learn models.
"""

import json
import re
from typing import Any

import pytest

from tests.local.sagemaker.conftest import BUCKET, ROLE, Clients, archive

ACCOUNT = "683313688378.dkr.ecr.us-east-1.amazonaws.com"
SKLEARN = f"{ACCOUNT}/sagemaker-scikit-learn:1.2-1-cpu-py3"
XGBOOST = f"{ACCOUNT}/sagemaker-xgboost:1.7-1"
PYTORCH = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.3-cpu-py311"

GOOD = """
import argparse, os, pathlib, sys
import helper
parser = argparse.ArgumentParser()
parser.add_argument("--depth", type=int)
parser.add_argument("--note")
parser.add_argument("-n", type=float)
given = parser.parse_args()
print("given", given.depth, given.note, given.n, helper.WORD, os.environ["SM_HPS"])
pathlib.Path(os.environ["SM_MODEL_DIR"], "model.txt").write_text(given.note)
"""
BAD = """
import sys
print("on the way", file=sys.stderr)
import no_such_framework
"""


def code(clients: Clients, name: str, **files: str) -> str:
    body = archive({f"{file}.py": text for file, text in files.items()})
    clients.s3.put_object(Bucket=BUCKET, Key=f"{name}/sourcedir.tar.gz", Body=body)
    return f"s3://{BUCKET}/{name}/sourcedir.tar.gz"


def as_the_sdk_sends(**values: Any) -> dict[str, str]:
    """Hyperparameters of SDK v2: each value as JSON."""
    return {name: json.dumps(value) for name, value in values.items()}


def algorithm(image: str, **changes: Any) -> dict[str, Any]:
    return {"TrainingImage": image, "TrainingInputMode": "File", **changes}


def test_scripts_run_or_say_why_not(clients: Clients, unique: str) -> None:
    """The code comes from S3, hyperparameters are the command line, failures name the command."""
    source = code(clients, unique, train=GOOD, helper="WORD = 'helped'", bad=BAD)
    common = {"sagemaker_submit_directory": source, "sagemaker_region": "us-east-1"}
    good, bad, lost = f"{unique}-good", f"{unique}-bad", f"{unique}-lost"
    clients.train(
        good,
        AlgorithmSpecification=algorithm(SKLEARN),
        HyperParameters=as_the_sdk_sends(
            sagemaker_program="train.py", depth=3, note="two words", n=0.5, **common
        ),
    )
    clients.train(
        bad,
        AlgorithmSpecification=algorithm(PYTORCH),
        HyperParameters=as_the_sdk_sends(sagemaker_program="bad.py", depth=3, **common),
    )
    clients.train(
        lost,
        AlgorithmSpecification=algorithm(SKLEARN),
        HyperParameters=as_the_sdk_sends(
            sagemaker_program="train.py", sagemaker_submit_directory=f"s3://{BUCKET}/no-such-code"
        ),
    )
    job = clients.trained(good)
    assert job["TrainingJobStatus"] == "Completed", job
    assert clients.unpack(job["ModelArtifacts"]["S3ModelArtifacts"]) == {"model.txt": "two words"}
    lines = clients.log_lines("/aws/sagemaker/TrainingJobs", f"{good}/algo-1-")
    assert 'given 3 two words 0.5 helped {"depth": 3, "note": "two words", "n": 0.5}' in lines

    reason = clients.trained(bad)["FailureReason"]
    assert reason.startswith(
        "AlgorithmError: ExecuteUserScriptError:\nExitCode 1\n"
        "ErrorMessage \"ModuleNotFoundError: No module named 'no_such_framework'"
    )
    assert "is not installed in the environment that stands for this image" in reason
    assert re.search(r'Command "\S+/python bad.py --depth 3", exit code: 1$', reason), reason
    assert "on the way" in clients.log_lines("/aws/sagemaker/TrainingJobs", f"{bad}/")
    reason = clients.trained(lost)["FailureReason"]
    assert f"cannot download the code s3://{BUCKET}/no-such-code: 404" in reason


def test_an_entry_point_with_its_drivers_in_channels(clients: Clients, unique: str) -> None:
    """As SDK v3's ModelTrainer: `/bin/bash -c`, channels `code` and `sm_drivers`."""
    driver = "cd /opt/ml/input/data/code\npython train.py --epochs 2\n"
    script = "import os, sys; open('/opt/ml/model/seen', 'w').write(' '.join(sys.argv[1:]))"
    clients.put(f"{unique}/sm_drivers/sm_train.sh", driver)
    clients.put(f"{unique}/code/train.py", script)
    run = "chmod +x /opt/ml/input/data/sm_drivers/sm_train.sh && bash "
    entry = ["/bin/bash", "-c", f"{run}/opt/ml/input/data/sm_drivers/sm_train.sh"]
    clients.train(
        unique,
        AlgorithmSpecification=algorithm(PYTORCH, ContainerEntrypoint=entry),
        HyperParameters={"epochs": "2"},
        InputDataConfig=[
            {
                "ChannelName": name,
                "DataSource": {
                    "S3DataSource": {
                        "S3DataType": "S3Prefix",
                        "S3Uri": f"s3://{BUCKET}/{unique}/{name}/",
                    }
                },
            }
            for name in ("code", "sm_drivers")
        ],
    )
    job = clients.trained(unique)
    assert job["TrainingJobStatus"] == "Completed", job
    assert clients.unpack(job["ModelArtifacts"]["S3ModelArtifacts"]) == {"seen": "--epochs 2"}


FUNCTIONS = """
import json, pathlib
def model_fn(model_dir):
    return int(pathlib.Path(model_dir, "factor").read_text())
def input_fn(body, content_type):
    if content_type != "text/csv":
        raise TypeError(f"no {content_type} here")
    return [float(value) for value in body.split(",")]
def predict_fn(data, model):
    return [value * model for value in data]
def output_fn(prediction, accept):
    return json.dumps(prediction), accept
"""


def test_functions_of_a_script_serve(clients: Clients, unique: str) -> None:
    """model_fn, input_fn, predict_fn, output_fn; a function that raises is the model's 500."""
    body = archive({"factor": "3", "code/inference.py": FUNCTIONS})
    clients.s3.put_object(Bucket=BUCKET, Key=f"{unique}/model.tar.gz", Body=body)
    clients.sagemaker.create_model(
        ModelName=unique,
        ExecutionRoleArn=ROLE,
        PrimaryContainer={
            "Image": SKLEARN,
            "ModelDataUrl": f"s3://{BUCKET}/{unique}/model.tar.gz",
            "Environment": {
                "SAGEMAKER_PROGRAM": "inference.py",
                "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
            },
        },
    )
    clients.config(unique, ("main", unique, 1.0))
    assert clients.deploy(unique, unique)["EndpointStatus"] == "InService"
    assert clients.ask(unique, "1,2") == [3.0, 6.0]
    with pytest.raises(clients.runtime.exceptions.ModelError) as refusal:
        clients.runtime.invoke_endpoint(EndpointName=unique, ContentType="text/plain", Body=b"x")
    assert refusal.value.response["OriginalStatusCode"] == 500
    assert "no text/plain here" in refusal.value.response["OriginalMessage"]
    clients.delete(unique)
