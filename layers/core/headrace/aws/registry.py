"""The model registry and the image repository, as the stages read and change them."""

from typing import Any

from headrace.aws.ledger import Ledger
from headrace.aws.projects import find_model
from headrace.errors import TrainingError
from headrace.events import CandidateRegistered
from headrace.records import Key, RunRecord, model_partition
from headrace.registry import Approval, Package, Refusal, decide
from headrace.requests import build_approval


def describe_package(sagemaker: Any, package_arn: str) -> Package:
    """Return a package as the registry knows it now."""
    return Package.of(sagemaker.describe_model_package(ModelPackageName=package_arn))


def find_package(sagemaker: Any, package_arn: str) -> Package | None:
    """Return a package, or None when it was deleted."""
    try:
        return describe_package(sagemaker, package_arn)
    except sagemaker.exceptions.ClientError as error:
        # "Not found" is a ValidationException, told apart by its text alone.
        if "does not exist" in error.response["Error"]["Message"]:
            return None
        raise


def find_run(ledger: Ledger, model: str, run: str) -> RunRecord | None:
    """Return what the ledger knows of a run."""
    return ledger.get(RunRecord, Key(pk=model_partition(model), sk=f"run#{run}"))


def approve_by_policy(
    event: CandidateRegistered, ledger: Ledger, sagemaker: Any
) -> Approval | Refusal:
    """Approve the package of a run that the gate passed, if its model is approved by policy.

    Any number of times: what is approved already is left alone.
    """
    model = find_model(ledger, event.model)
    if model is None:
        return Refusal(f"no project of {event.model} is published")
    run = find_run(ledger, event.model, event.run)
    decision = decide(model, run, describe_package(sagemaker, event.package_arn))
    if isinstance(decision, Approval):
        sagemaker.update_model_package(**build_approval(event.package_arn, decision.reason))
    return decision


def resolve_image(ecr: Any, repository: str, tag: str = "latest") -> str | None:
    """Return the image a tag names now, pinned by its digest, or None when none was pushed.

    Raises:
        TrainingError: the repository itself is not there.
    """
    try:
        images = ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": tag}])
        repositories = ecr.describe_repositories(repositoryNames=[repository])
    except ecr.exceptions.ImageNotFoundException:
        return None
    except ecr.exceptions.RepositoryNotFoundException as error:
        raise TrainingError(
            f"There is no ECR repository {repository!r}. The stack makes it: deploy it again."
        ) from error
    uri = repositories["repositories"][0]["repositoryUri"]
    return f"{uri}@{images['imageDetails'][0]['imageDigest']}"
