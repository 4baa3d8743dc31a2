"""IAM knows which ECR repository a call is about.

AWS ("Actions, resources, and condition keys for Amazon ECR"): calls that name a repository are
authorised against `arn:aws:ecr:<region>:<account>:repository/<name>`. Stock MiniStack authorises
them against `*`, so a policy that is scoped to the repository, as it should be, denies everything.
"""

import json
from typing import Any

from ministack.core import iam_actions

from local.ministack import guard


def install() -> None:
    """Replace how IAM finds the resource of a call to ECR."""
    names = "service method path headers body query_params region account_id"
    guard.replace(iam_actions, "extract_resource_arn", names, _resource)


def _resource(
    service: str, method: str, path: str, headers: dict[str, str], body: bytes, *rest: Any
) -> str:
    region, account = rest[-2:]
    name = _repository(body) if service == "ecr" else None
    if name:
        return f"arn:aws:ecr:{region}:{account}:repository/{name}"
    return str(guard.stock(_resource)(service, method, path, headers, body, *rest))


def _repository(body: bytes) -> str | None:
    try:
        request = json.loads(body or b"{}")
    except ValueError:
        return None
    names = request.get("repositoryNames") or [request.get("repositoryName")]
    return names[0] if len(names) == 1 else None
