"""ECR as AWS documents it: IAM is asked about the repository."""

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
