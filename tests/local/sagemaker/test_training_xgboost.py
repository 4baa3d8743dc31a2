"""The built-in XGBoost by its image's name.

Pages: "XGBoost algorithm with Amazon SageMaker AI" (interface, hyperparameters), "Tune an XGBoost
Model" (metrics).
"""

import io
import json
import random
import tarfile
from typing import Any

import pytest

from tests.local.sagemaker.conftest import BUCKET, ROLE, Clients

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
ALGORITHM = {"TrainingImage": IMAGE, "TrainingInputMode": "File"}


def rows(count: int, seed: int) -> list[list[float]]:
    """Label first: 3 x + y, and a column of noise."""
    numbers = random.Random(seed)
    points = [[numbers.random() for _ in range(3)] for _ in range(count)]
    return [[3 * x + y, x, y, noise] for x, y, noise in points]


def csv(table: list[list[float]]) -> str:
    return "\n".join(",".join(f"{value:.6f}" for value in row) for row in table)


def libsvm(table: list[list[float]]) -> str:
    return "\n".join(
        f"{label:.6f} " + " ".join(f"{n}:{value:.6f}" for n, value in enumerate(values))
        for label, *values in table
    )


def channel(name: str, uri: str, kind: str, how: str = "FullyReplicated") -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": how}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, "ContentType": kind}


def serve(clients: Clients, name: str) -> None:
    """Deploy a model that may take longer to start than the tests' own containers."""
    clients.sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[
            {
                "VariantName": "main",
                "ModelName": name,
                "InitialInstanceCount": 1,
                "InstanceType": "ml.m5.large",
                "ContainerStartupHealthCheckTimeoutInSeconds": 60,
            }
        ],
    )
    assert clients.deploy(name, name)["EndpointStatus"] == "InService"


def test_csv_from_training_to_serving(clients: Clients, unique: str) -> None:
    """Metrics are found without definitions; early stopping; an artifact that serves."""
    clients.put(f"{unique}/train/a.csv", csv(rows(200, 1)))
    clients.put(f"{unique}/validation/a.csv", csv(rows(50, 2)))
    clients.train(
        unique,
        AlgorithmSpecification=ALGORITHM,
        HyperParameters={
            "objective": "reg:squarederror",
            "num_round": "200",
            "eval_metric": "rmse,mae",
            "early_stopping_rounds": "3",
            "max_depth": "3",
            "nthread": "1",
        },
        InputDataConfig=[
            channel(name, f"s3://{BUCKET}/{unique}/{name}/", "csv")
            for name in ("train", "validation")
        ],
    )
    job = clients.trained(unique)
    assert job["TrainingJobStatus"] == "Completed", job
    final = {metric["MetricName"]: metric["Value"] for metric in job["FinalMetricDataList"]}
    assert set(final) == {"train:rmse", "train:mae", "validation:rmse", "validation:mae"}
    assert final["validation:rmse"] < 0.3
    definitions = job["AlgorithmSpecification"]["MetricDefinitions"]
    assert "validation:rmse" in {definition["Name"] for definition in definitions}
    lines = clients.log_lines("/aws/sagemaker/TrainingJobs", f"{unique}/algo-1-")
    rounds = [line for line in lines if line.startswith("[")]
    assert rounds[0].startswith("[0]#011train-rmse:")
    assert "#011validation-mae:" in rounds[0]
    assert 3 < len(rounds) < 200, "stopped early"

    artifact = job["ModelArtifacts"]["S3ModelArtifacts"]
    with tarfile.open(fileobj=io.BytesIO(clients.get(artifact))) as tar:
        assert tar.getnames() == ["xgboost-model"]
    clients.sagemaker.create_model(
        ModelName=unique,
        ExecutionRoleArn=ROLE,
        PrimaryContainer={"Image": IMAGE, "ModelDataUrl": artifact},
    )
    serve(clients, unique)

    def ask(body: str, kind: str, accept: str) -> str:
        answer = clients.runtime.invoke_endpoint(
            EndpointName=unique, ContentType=kind, Accept=accept, Body=body.encode()
        )
        return answer["Body"].read().decode()

    first, second = ask("0.5,0.5,0.1\n0.9,0.1,0.1", "text/csv", "text/csv").split(",")
    assert abs(float(first) - 2.0) < 0.4
    assert abs(float(second) - 2.8) < 0.4
    answered = json.loads(ask("0:0.5 1:0.5 2:0.1", "text/libsvm", "application/json"))
    assert answered == {"predictions": [{"score": float(first)}]}
    with pytest.raises(clients.runtime.exceptions.ModelError) as refusal:
        ask("1,2,3,4,5", "text/csv", "text/csv")
    assert refusal.value.response["OriginalStatusCode"] == 400
    assert "Feature size of csv inference data 5" in refusal.value.response["OriginalMessage"]
    clients.delete(unique)

    many = f"{unique}-many"  # the same artifact in a multi-model endpoint
    clients.sagemaker.create_model(
        ModelName=many,
        ExecutionRoleArn=ROLE,
        PrimaryContainer={
            "Image": IMAGE,
            "ModelDataUrl": artifact.removesuffix("model.tar.gz"),
            "Mode": "MultiModel",
        },
    )
    serve(clients, many)
    answer = clients.runtime.invoke_endpoint(
        EndpointName=many, ContentType="text/csv", Body="0.5,0.5,0.1", TargetModel="model.tar.gz"
    )
    assert answer["Body"].read().decode() == first
    clients.delete(many)


def test_two_hosts_grow_one_model(clients: Clients, unique: str) -> None:
    """libsvm shards on two hosts, joined by XGBoost's own collective through the name algo-1."""
    for part in range(2):
        clients.put(f"{unique}/train/{part}", libsvm(rows(60, part)))
    bad = {f"{unique}-extra": {"depth": "3"}, f"{unique}-words": {"num_round": "ten"}}
    cluster = {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1}
    parameters = {"num_round": "3", "objective": "reg:squarederror", "nthread": "1"}
    shards = channel("train", f"s3://{BUCKET}/{unique}/train/", "libsvm", "ShardedByS3Key")
    clients.train(
        unique,
        AlgorithmSpecification=ALGORITHM,
        HyperParameters={**parameters, "base_score": "0"},
        ResourceConfig=cluster,
        InputDataConfig=[shards],
    )
    for name, change in bad.items():
        clients.train(
            name,
            AlgorithmSpecification=ALGORITHM,
            HyperParameters={**parameters, **change},
            InputDataConfig=[shards],
        )
    job = clients.trained(unique)
    assert job["TrainingJobStatus"] == "Completed", job
    lines = clients.log_lines("/aws/sagemaker/TrainingJobs", f"{unique}/algo-2-")
    assert any(line.startswith("algo-2 has joined 2 hosts by 127.") for line in lines), lines
    lines = clients.log_lines("/aws/sagemaker/TrainingJobs", f"{unique}/algo-1-")
    assert len([line for line in lines if line.startswith("[2]#011train-rmse:")]) == 1
    assert [clients.trained(name)["FailureReason"] for name in bad] == [
        "AlgorithmError: Extraneous hyperparameter found: depth, exit code: 1",
        "AlgorithmError: Hyperparameter num_round: could not parse value 'ten', exit code: 1",
    ]
