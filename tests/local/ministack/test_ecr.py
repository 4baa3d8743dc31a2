"""ECR as AWS documents it: IAM is asked about the repository; a missing image is an error."""

import json

import pytest
from botocore.exceptions import ClientError

from tests.local.conftest import LocalAws
from tests.local.ministack.helpers import unique


def test_a_policy_scoped_to_one_repository_allows_that_one_only(aws: LocalAws) -> None:
    mine, other, user = unique("mine"), unique("other"), unique("user")
    for name in (mine, other):
        aws.client("ecr").create_repository(repositoryName=name)
    iam = aws.client("iam")
    iam.create_user(UserName=user)
    resource = f"arn:aws:ecr:us-east-1:{aws.facts['account_id']}:repository/{mine}"
    statement = {"Effect": "Allow", "Action": "ecr:Describe*", "Resource": resource}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=policy)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    ecr = aws.client(
        "ecr",
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )
    assert ecr.describe_repositories(repositoryNames=[mine])["repositories"]
    assert ecr.describe_images(repositoryName=mine)["imageDetails"] == []
    with pytest.raises(ClientError, match="AccessDenied"):
        ecr.describe_images(repositoryName=other)


def test_an_image_that_is_not_there_is_an_error(aws: LocalAws) -> None:
    ecr, name = aws.client("ecr"), unique("repository")
    ecr.create_repository(repositoryName=name)
    with pytest.raises(ecr.exceptions.ImageNotFoundException):
        ecr.describe_images(repositoryName=name, imageIds=[{"imageTag": "latest"}])
    with pytest.raises(ecr.exceptions.RepositoryNotFoundException):
        ecr.describe_images(repositoryName=unique("no"), imageIds=[{"imageTag": "latest"}])
