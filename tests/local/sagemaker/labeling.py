"""Labeling jobs for tests: a team, a classification by three people, a client for workers."""

import json
from typing import Any

import boto3
import botocore.session
from botocore.config import Config

from local.sagemaker.settings import REPOSITORY
from tests.local.conftest import LocalAws
from tests.local.sagemaker.conftest import BUCKET, ROLE, Clients

TEAM = "arn:aws:sagemaker:us-east-1:000000000000:workteam/private-crowd/people"
AWS_FUNCTION = "arn:aws:lambda:us-east-1:432418664414:function"
MEMBERS = [
    {"CognitoMemberDefinition": {"UserPool": "us-east-1_pool", "UserGroup": "g", "ClientId": "c"}}
]
WORKTEAM = {"WorkteamName": "people", "MemberDefinitions": MEMBERS, "Description": "who labels"}
TEXTS = ["good", "bad", "fine", "awful"]


def request(name: str, **human: Any) -> dict[str, Any]:
    """A text classification by three people, with AWS's own functions."""
    consolidation = {"AnnotationConsolidationLambdaArn": f"{AWS_FUNCTION}:ACS-TextMultiClass"}
    folder = f"s3://{BUCKET}/labeling"
    return {
        "LabelingJobName": name,
        "LabelAttributeName": "mood",
        "InputConfig": {"DataSource": {"S3DataSource": {"ManifestS3Uri": f"{folder}/in.manifest"}}},
        "OutputConfig": {"S3OutputPath": f"{folder}/out"},
        "RoleArn": ROLE,
        "LabelCategoryConfigS3Uri": f"{folder}/labels.json",
        "HumanTaskConfig": {
            "WorkteamArn": TEAM,
            "UiConfig": {"UiTemplateS3Uri": f"{folder}/page.liquid.html"},
            "PreHumanTaskLambdaArn": f"{AWS_FUNCTION}:PRE-TextMultiClass",
            "TaskTitle": "Mood",
            "TaskDescription": "Which mood is it?",
            "NumberOfHumanWorkersPerDataObject": 3,
            "TaskTimeLimitInSeconds": 60,
            "AnnotationConsolidationConfig": consolidation,
            **human,
        },
    }


def label(text: str) -> str:
    return json.dumps({"crowd-classifier": {"label": text}})


def put_material(clients: Clients, texts: list[str]) -> None:
    """Write a manifest, categories and a template."""
    lines = [json.dumps({"source": text, "id": number}) for number, text in enumerate(texts)]
    clients.put("labeling/in.manifest", "\n".join(lines))
    labels = {"document-version": "2018-11-28", "labels": [{"label": "sad"}, {"label": "glad"}]}
    clients.put("labeling/labels.json", json.dumps(labels))
    clients.put("labeling/page.liquid.html", "<crowd-form></crowd-form>")


def custom(pre: str, post: str) -> dict[str, Any]:
    consolidation = {"AnnotationConsolidationLambdaArn": post}
    return {"PreHumanTaskLambdaArn": pre, "AnnotationConsolidationConfig": consolidation}


def people(aws: LocalAws, key: dict[str, Any]) -> Any:
    """A boto3 client of the labeling API."""
    session = botocore.session.get_session()
    folder = REPOSITORY / "local" / "sagemaker" / "labeling" / "model"
    session.get_component("data_loader").search_paths.append(str(folder))
    return boto3.Session(botocore_session=session).client(
        "headrace-labeling",
        endpoint_url=aws.facts["endpoint_url"],
        region_name=aws.facts["region"],
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
        config=Config(retries={"total_max_attempts": 1}),
    )
