"""Every List that has a paginator and needs no argument; what is not there says so."""

import boto3
from botocore.exceptions import ClientError
from steps import step

sagemaker = boto3.client("sagemaker")


def pages(operation):
    return list(sagemaker.get_paginator(operation).paginate(PaginationConfig={"PageSize": 5}))


step("paginators of jobs, models, endpoints, registry, monitoring, features, model cards")
for listed in (
    "training_jobs",
    "processing_jobs",
    "transform_jobs",
    "hyper_parameter_tuning_jobs",
    "models",
    "endpoint_configs",
    "endpoints",
    "model_package_groups",
    "model_packages",
    "monitoring_schedules",
    "monitoring_executions",
    "data_quality_job_definitions",
    "model_quality_job_definitions",
    "model_bias_job_definitions",
    "model_explainability_job_definitions",
    "feature_groups",
    "model_cards",
):
    assert pages(f"list_{listed}"), listed

step("paginators of lineage: artifacts, actions, contexts, associations")
for listed in ("artifacts", "actions", "contexts", "associations"):
    assert pages(f"list_{listed}"), listed

step("paginators of labeling: labeling jobs, workteams, workforces")
for listed in ("labeling_jobs", "workteams", "workforces"):
    assert pages(f"list_{listed}"), listed

step("what is not there is refused with NotImplementedLocally, never a silent success")
for listed in ("apps", "notebook_instances", "pipelines", "clusters", "domains"):
    try:
        pages(f"list_{listed}")
    except ClientError as error:
        assert error.response["Error"]["Code"] == "NotImplementedLocally", error
    else:
        raise AssertionError(f"{listed} were listed")
