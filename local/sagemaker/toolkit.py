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
from local.sagemaker.jobs.hosts import Host
from local.sagemaker.jobs.inputs import distribution
from local.sagemaker.store import Record

GROUP = "homogeneousCluster"
CHECKPOINTS = "/opt/ml/checkpoints"
_MASTER_PORT = "7777"


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


def write_training_files(host: Host, job: Record) -> None:
    """Write /opt/ml/input/config, as a training container finds it."""
    make_tree(host.tree, "input/data", "model", "output/data", "code", "checkpoints")
    config = host.tree / "input" / "config"
    write_json(config / "hyperparameters.json", job.get("HyperParameters") or {})
    write_json(config / "inputdataconfig.json", _input_data_config(job))
    write_json(config / "resourceconfig.json", _resource_config(host, job))
    if checkpoint := job.get("CheckpointConfig"):
        local = checkpoint.get("LocalPath", CHECKPOINTS)
        write_json(config / "checkpointconfig.json", {"LocalPath": local})


def input_mode(channel: Record, job: Record) -> str:
    """Return a channel's input mode: its own, else the algorithm's."""
    mode: str = channel.get("InputMode") or job["AlgorithmSpecification"]["TrainingInputMode"]
    return mode


def _input_data_config(job: Record) -> Record:
    channels = {}
    for channel in job.get("InputDataConfig") or []:
        channels[channel["ChannelName"]] = {
            "TrainingInputMode": input_mode(channel, job),
            "S3DistributionType": distribution(channel["DataSource"]["S3DataSource"]),
            "RecordWrapperType": channel.get("RecordWrapperType", "None"),
            **({"ContentType": channel["ContentType"]} if "ContentType" in channel else {}),
        }
    return channels


def _resource_config(host: Host, job: Record) -> Record:
    instance = job["ResourceConfig"].get("InstanceType", "")
    names = sorted(host.names)
    return {
        "current_host": host.name,
        "current_instance_type": instance,
        "current_group_name": GROUP,
        "hosts": names,
        "instance_groups": [
            {"instance_group_name": GROUP, "instance_type": instance, "hosts": names}
        ],
        "network_interface_name": "lo",
    }


def training_variables(root: str, host: Host, job: Record) -> dict[str, str]:
    """Return the SM_* variables that the Training Toolkit documents, and AWS's own two.

    Hyperparameters that are the toolkit's own (`sagemaker_program` and the like) are not passed on.
    """
    given = {name: _decoded(value) for name, value in (job.get("HyperParameters") or {}).items()}
    hyperparameters = {name: value for name, value in given.items() if not _is_toolkits(name)}
    channels = _input_data_config(job)
    resources = _resource_config(host, job)
    module = str(given.get("sagemaker_program", ""))
    plain = {
        "SM_MODEL_DIR": f"{root}/model",
        "SM_INPUT_DIR": f"{root}/input",
        "SM_INPUT_CONFIG_DIR": f"{root}/input/config",
        "SM_OUTPUT_DIR": f"{root}/output",
        "SM_OUTPUT_DATA_DIR": f"{root}/output/data",
        "SM_OUTPUT_INTERMEDIATE_DIR": f"{root}/output/intermediate",
        "SM_MODULE_DIR": str(given.get("sagemaker_submit_directory", f"{root}/code")),
        "SM_MODULE_NAME": module.removesuffix(".py"),
        "SM_USER_ENTRY_POINT": module,
        "SM_CHANNELS": sorted(channels),
        "SM_HPS": hyperparameters,
        "SM_USER_ARGS": _arguments(hyperparameters),
        "SM_INPUT_DATA_CONFIG": channels,
        "SM_RESOURCE_CONFIG": resources,
        "SM_CURRENT_HOST": host.name,
        "SM_CURRENT_INSTANCE_TYPE": resources["current_instance_type"],
        "SM_CURRENT_INSTANCE_GROUP": GROUP,
        "SM_HOSTS": resources["hosts"],
        "SM_HOST_COUNT": len(host.names),
        "SM_CURRENT_HOST_RANK": host.place,
        "SM_MASTER_ADDR": host.names[0],
        "SM_MASTER_PORT": _MASTER_PORT,
        "SM_NETWORK_INTERFACE_NAME": "lo",
        "SM_NUM_CPUS": os.cpu_count(),
        "SM_NUM_GPUS": 0,
        "SM_NUM_NEURONS": 0,
        "SM_LOG_LEVEL": given.get("sagemaker_container_log_level", 20),
    }
    named = {f"SM_HP_{_name(name)}": value for name, value in hyperparameters.items()}
    folders = {f"SM_CHANNEL_{_name(name)}": f"{root}/input/data/{name}" for name in channels}
    environment = {
        "channel_input_dirs": {name: f"{root}/input/data/{name}" for name in channels},
        "current_host": host.name,
        "hosts": resources["hosts"],
        "hyperparameters": hyperparameters,
        "input_data_config": channels,
        "is_master": host.place == 0,
        "job_name": job["TrainingJobName"],
        "master_hostname": host.names[0],
        "model_dir": f"{root}/model",
        "network_interface_name": "lo",
        "output_data_dir": f"{root}/output/data",
        "resource_config": resources,
    }
    variables = {**plain, **named, **folders, "SM_TRAINING_ENV": environment}
    return {
        **{name: _text(value) for name, value in variables.items()},
        "TRAINING_JOB_NAME": job["TrainingJobName"],
        "TRAINING_JOB_ARN": job["TrainingJobArn"],
    }


def _is_toolkits(name: str) -> bool:
    return name.startswith("sagemaker_") or name == "_tuning_objective_metric"


def _arguments(hyperparameters: Record) -> list[str]:
    """Return the script's command line: `--name value`, `-n value` for one letter, by name."""
    return [
        part
        for name, value in sorted(hyperparameters.items())
        for part in (f"--{name}" if len(name) > 1 else f"-{name}", str(value))
    ]


def at_root(argv: list[str], root: str) -> list[str]:
    """Return a command whose absolute paths of /opt/ml lead there also where it is not mounted."""
    if root == "/opt/ml":
        return argv
    return [part.replace("/opt/ml/", f"{root}/") for part in argv]


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
