"""ECR says when an image is not there, and IAM knows which repository a call is about.

AWS (API reference, DescribeImages): an image that was asked for and does not exist is an
ImageNotFoundException. Stock MiniStack leaves it out of the answer.

AWS ("Actions, resources, and condition keys for Amazon ECR"): calls that name a repository are
authorised against `arn:aws:ecr:<region>:<account>:repository/<name>`. Stock MiniStack authorises
them against `*`, so a policy that is scoped to the repository, as it should be, denies everything.
"""

import json
from typing import Any

from ministack.core import iam_actions
from ministack.services import ecr

from local.ministack import guard


def install() -> None:
    """Replace DescribeImages, and how IAM finds the resource of a call to ECR."""
    guard.replace(ecr, "_describe_images", "data", describe_images)
    guard.expect(hasattr(ecr, "_find_image"), "ecr._find_image is missing")
    names = "service method path headers body query_params region account_id"
    guard.replace(iam_actions, "extract_resource_arn", names, _resource)


def describe_images(data: dict[str, Any]) -> Any:
    """Refuse what is not there; else answer as stock does."""
    name = data.get("repositoryName", "")
    for wanted in data.get("imageIds") or []:
        if name in ecr._repositories and ecr._find_image(name, wanted) is None:
            return ecr.error_response_json(
                "ImageNotFoundException",
                f"The image with imageId {json.dumps(wanted)} does not exist within the "
                f"repository with name '{name}' in the registry",
                400,
            )
    return guard.stock(describe_images)(data)


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
