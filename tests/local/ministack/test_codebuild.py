"""CodeBuild without Docker: the digest of an image, in ECR, announced on the bus."""

import json

import pytest

from tests.local.conftest import LocalAws, wait_until
from tests.local.ministack.helpers import ACCOUNT, archive, queue, receive, role, unique


@pytest.fixture
def project(aws: LocalAws) -> str:
    """A project, repository and bucket of one name; the bucket starts the project."""
    name = unique("image")
    aws.client("s3").create_bucket(Bucket=name)
    aws.client("s3").put_bucket_notification_configuration(
        Bucket=name, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    uri = aws.client("ecr").create_repository(repositoryName=name)["repository"]["repositoryUri"]
    allowed = [
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{name}/*"},
        {"Effect": "Allow", "Action": "ecr:PutImage", "Resource": "*"},
    ]
    aws.client("codebuild").create_project(
        name=name,
        serviceRole=role(aws, "codebuild", *allowed),
        source={"type": "S3", "location": f"{name}/none.zip"},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={
            "type": "LINUX_CONTAINER",
            "image": "standard",
            "computeType": "SMALL",
            "environmentVariables": [{"name": "REPOSITORY_URI", "value": uri}],
        },
    )
    arn = f"arn:aws:codebuild:us-east-1:{ACCOUNT}:project/{name}"
    starts = {"Effect": "Allow", "Action": "codebuild:StartBuild", "Resource": arn}
    pattern = {"source": ["aws.s3"], "detail": {"bucket": {"name": [name]}}}
    aws.client("events").put_rule(Name=name, EventPattern=json.dumps(pattern))
    template = (
        '{"sourceLocationOverride": "<bucket>/<key>", "environmentVariablesOverride": '
        '[{"name": "IMAGE_TAG", "value": "v1", "type": "PLAINTEXT"}]}'
    )
    aws.client("events").put_targets(
        Rule=name,
        Targets=[
            {
                "Id": "1",
                "Arn": arn,
                "RoleArn": role(aws, "events", starts),
                "InputTransformer": {
                    "InputPathsMap": {
                        "bucket": "$.detail.bucket.name",
                        "key": "$.detail.object.key",
                    },
                    "InputTemplate": template,
                },
            }
        ],
    )
    return name


def test_a_source_in_s3_becomes_an_image_and_an_event(aws: LocalAws, project: str) -> None:
    url, arn = queue(aws)
    pattern = {"source": ["aws.codebuild"], "detail": {"project-name": [project]}}
    aws.client("events").put_rule(Name=f"{project}-ends", EventPattern=json.dumps(pattern))
    aws.client("events").put_targets(Rule=f"{project}-ends", Targets=[{"Id": "1", "Arn": arn}])
    digests = []
    for code in ("a = 1", "a = 1", "a = 2"):
        aws.client("s3").put_object(Bucket=project, Key="src.zip", Body=archive(train=code))
        changes = [json.loads(each["Body"])["detail"] for each in receive(aws, url, 2)]
        assert [each["build-status"] for each in changes] == ["IN_PROGRESS", "SUCCEEDED"]
        images = aws.client("ecr").describe_images(
            repositoryName=project, imageIds=[{"imageTag": "v1"}]
        )["imageDetails"]
        digests.append(images[0]["imageDigest"])
        exported = changes[1]["additional-information"]["exported-environment-variables"]
        assert exported == [{"name": "IMAGE_DIGEST", "value": digests[-1]}]
    assert digests[0] == digests[1] != digests[2], "named by its contents"


def test_a_build_that_cannot_read_its_source_fails(aws: LocalAws, project: str) -> None:
    codebuild = aws.client("codebuild")
    started = codebuild.start_build(
        projectName=project, environmentVariablesOverride=[{"name": "IMAGE_TAG", "value": "v1"}]
    )["build"]
    assert started["buildStatus"] == "IN_PROGRESS"

    def ended() -> dict[str, object] | None:
        build = codebuild.batch_get_builds(ids=[started["id"]])["builds"][0]
        return build if build["buildStatus"] != "IN_PROGRESS" else None

    build = wait_until(ended)
    assert build["buildStatus"] == "FAILED"
    contexts = [each for phase in build["phases"] for each in phase.get("contexts", [])]
    assert "NoSuchKey" in contexts[0]["message"]
