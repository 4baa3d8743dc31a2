"""The container contract: the /opt/ml tree, its configuration files and the SM_* variables.

Sources: "How Amazon SageMaker AI Provides Training Information" and "... Processes Training
Output" of the developer guide, and the variables documented by the SageMaker Training Toolkit.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from local.sagemaker.cloud import Cloud
from local.sagemaker.store import Record

HOST = "algo-1"
GROUP = "homogeneousCluster"


def write_json(file: Path, value: Any) -> None:
    """Write a configuration file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value))


def common_variables(cloud: Cloud, root: str, credentials: dict[str, str] | None) -> dict[str, str]:
    """Return what every container is given: where its files, its region and its AWS are.

    Credentials are withheld from containers in network isolation, as on AWS.
    """
    variables = {
        "SAGEMAKER_BASE_DIR": root,
        "HOME": f"{root}/home",
        "TMPDIR": f"{root}/tmp",  # noqa: S108 - the container's own
        "AWS_REGION": cloud.region,
        "AWS_DEFAULT_REGION": cloud.region,
    }
    if credentials is not None:
        variables |= {"AWS_ENDPOINT_URL": cloud.endpoint_url, **credentials}
    return variables


def make_tree(tree: Path, *folders: str) -> None:
    """Make a container's folders."""
    for folder in (*folders, "home", "tmp"):
        (tree / folder).mkdir(parents=True, exist_ok=True)


def write_training_files(tree: Path, job: Record) -> None:
    """Write /opt/ml/input/config, as a training container finds it."""
    make_tree(tree, "input/data", "model", "output/data", "code", "checkpoints")
    config = tree / "input" / "config"
    write_json(config / "hyperparameters.json", job.get("HyperParameters") or {})
    write_json(config / "inputdataconfig.json", _input_data_config(job))
    write_json(config / "resourceconfig.json", _resource_config(job))


def _input_data_config(job: Record) -> Record:
    channels = {}
    for channel in job.get("InputDataConfig") or []:
        source = channel["DataSource"]["S3DataSource"]
        channels[channel["ChannelName"]] = {
            "TrainingInputMode": channel.get("InputMode")
            or job["AlgorithmSpecification"].get("TrainingInputMode", "File"),
            "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
            "RecordWrapperType": channel.get("RecordWrapperType", "None"),
            **({"ContentType": channel["ContentType"]} if "ContentType" in channel else {}),
        }
    return channels


def _resource_config(job: Record) -> Record:
    instance = job["ResourceConfig"].get("InstanceType", "")
    return {
        "current_host": HOST,
        "current_instance_type": instance,
        "current_group_name": GROUP,
        "hosts": [HOST],
        "instance_groups": [
            {"instance_group_name": GROUP, "instance_type": instance, "hosts": [HOST]}
        ],
        "network_interface_name": "lo",
    }


def training_variables(root: str, job: Record) -> dict[str, str]:
    """Return the SM_* variables that the Training Toolkit documents, and AWS's own two."""
    hyperparameters = {
        name: _decoded(value) for name, value in (job.get("HyperParameters") or {}).items()
    }
    channels = _input_data_config(job)
    resources = _resource_config(job)
    arguments = [
        part
        for name, value in sorted(hyperparameters.items())
        for part in (f"--{name}", _text(value))
    ]
    module = str(hyperparameters.get("sagemaker_program", ""))
    plain = {
        "SM_MODEL_DIR": f"{root}/model",
        "SM_INPUT_DIR": f"{root}/input",
        "SM_INPUT_CONFIG_DIR": f"{root}/input/config",
        "SM_OUTPUT_DIR": f"{root}/output",
        "SM_OUTPUT_DATA_DIR": f"{root}/output/data",
        "SM_OUTPUT_INTERMEDIATE_DIR": f"{root}/output/intermediate",
        "SM_MODULE_DIR": str(hyperparameters.get("sagemaker_submit_directory", f"{root}/code")),
        "SM_MODULE_NAME": module.removesuffix(".py"),
        "SM_USER_ENTRY_POINT": module,
        "SM_CHANNELS": sorted(channels),
        "SM_HPS": hyperparameters,
        "SM_USER_ARGS": arguments,
        "SM_INPUT_DATA_CONFIG": channels,
        "SM_RESOURCE_CONFIG": resources,
        "SM_CURRENT_HOST": HOST,
        "SM_CURRENT_INSTANCE_TYPE": resources["current_instance_type"],
        "SM_CURRENT_INSTANCE_GROUP": GROUP,
        "SM_HOSTS": [HOST],
        "SM_NETWORK_INTERFACE_NAME": "lo",
        "SM_NUM_CPUS": os.cpu_count(),
        "SM_NUM_GPUS": 0,
        "SM_NUM_NEURONS": 0,
        "SM_LOG_LEVEL": 20,
    }
    named = {f"SM_HP_{_name(name)}": value for name, value in hyperparameters.items()}
    folders = {f"SM_CHANNEL_{_name(name)}": f"{root}/input/data/{name}" for name in channels}
    environment = {
        "channel_input_dirs": {name: f"{root}/input/data/{name}" for name in channels},
        "current_host": HOST,
        "hosts": [HOST],
        "hyperparameters": hyperparameters,
        "input_data_config": channels,
        "job_name": job["TrainingJobName"],
        "model_dir": f"{root}/model",
        "output_data_dir": f"{root}/output/data",
        "resource_config": resources,
    }
    variables = {**plain, **named, **folders, "SM_TRAINING_ENV": environment}
    return {
        **{name: _text(value) for name, value in variables.items()},
        "TRAINING_JOB_NAME": job["TrainingJobName"],
        "TRAINING_JOB_ARN": job["TrainingJobArn"],
    }


def _decoded(value: str) -> Any:
    """Hyperparameters arrive as strings; the toolkit reads those that are JSON."""
    try:
        return json.loads(value)
    except ValueError:
        return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _name(name: str) -> str:
    return name.upper().replace("-", "_")
