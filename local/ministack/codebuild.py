"""CodeBuild without Docker: a project that builds an image gets the image's manifest built.

AWS ("StartBuild", "Build notifications reference"): a build reads its source from S3, runs its
buildspec, and its state changes arrive on the default bus. Stock MiniStack declares every build
SUCCEEDED without doing anything. Here the source is read with the project's role, the digest of a
manifest is computed from the contents of its files (the same files give the same digest), and the
manifest is put into the repository that REPOSITORY_URI names under IMAGE_TAG. The buildspec is not
run: what stands for the image locally is its entry in local/images.yaml.
"""

import hashlib
import io
import json
import time
import zipfile
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from ministack.services import codebuild, eventbridge

from local.ministack import guard, iam, instance, scopes

PRINCIPAL = "codebuild.amazonaws.com"
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


class BuildError(Exception):
    """The build cannot succeed; the text goes to its last phase."""


def install() -> None:
    """Replace StartBuild."""
    guard.replace(codebuild, "_start_build", "data", start)
    for name in ("_projects", "_builds", "_make_build_record", "_build_id"):
        guard.expect(hasattr(codebuild, name), f"codebuild.{name} is missing")


def start(data: dict[str, Any]) -> Any:
    """Begin a build and return it; it goes on in a thread of its own."""
    project = codebuild._projects.get(data.get("projectName", ""))
    if project is None:
        return guard.stock(start)(data)
    build = codebuild._make_build_record(
        _overridden(project, data), codebuild._build_id(project["name"]), data.get("sourceVersion")
    )
    build.pop("endTime")
    submitted = {"phaseType": "SUBMITTED", "phaseStatus": "SUCCEEDED", "startTime": _now()}
    build.update(buildStatus="IN_PROGRESS", currentPhase="BUILD", phases=[submitted])
    codebuild._builds[build["id"]] = build
    _announce(build)
    scopes.in_new_thread(_run, build, project["serviceRole"])
    return codebuild.json_response({"build": build})


def _overridden(project: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    source, environment = dict(project["source"]), dict(project["environment"])
    if "sourceLocationOverride" in data:
        source["location"] = data["sourceLocationOverride"]
    variables = {each["name"]: each for each in environment.get("environmentVariables") or []}
    given = data.get("environmentVariablesOverride") or []
    variables |= {each["name"]: each for each in given}
    environment["environmentVariables"] = list(variables.values())
    return {**project, "source": source, "environment": environment}


def _run(build: dict[str, Any], role_arn: str) -> None:
    phase = {"phaseType": "BUILD", "startTime": _now()}
    try:
        digest = _build_image(build, role_arn)
        status = "SUCCEEDED"
        build["exportedEnvironmentVariables"] = [{"name": "IMAGE_DIGEST", "value": digest}]
    except (BuildError, iam.RoleError, ClientError, BotoCoreError, zipfile.BadZipFile) as error:
        status = "FAILED"
        phase["contexts"] = [{"statusCode": "COMMAND_EXECUTION_ERROR", "message": str(error)}]
    phase |= {"phaseStatus": status, "endTime": _now()}
    completed = {"phaseType": "COMPLETED", "startTime": _now()}
    build["phases"] += [phase, completed]
    build.update(buildStatus=status, currentPhase="COMPLETED", endTime=_now())
    build["buildComplete"] = True
    _announce(build)


def _build_image(build: dict[str, Any], role_arn: str) -> str:
    """Put the manifest and return its digest."""
    listed = build["environment"]["environmentVariables"]
    variables = {each["name"]: each["value"] for each in listed}
    for name in ("REPOSITORY_URI", "IMAGE_TAG"):
        if not variables.get(name):
            raise BuildError(f"Only image builds run locally: the build has no {name}")
    bucket, _, key = (
        build["source"].get("location", "").removeprefix("arn:aws:s3:::").partition("/")
    )
    source = _client("s3", role_arn, build["id"]).get_object(Bucket=bucket, Key=key)["Body"].read()
    manifest = _manifest(source)
    _client("ecr", role_arn, build["id"]).put_image(
        repositoryName=variables["REPOSITORY_URI"].partition("/")[2],
        imageManifest=manifest,
        imageManifestMediaType=_MANIFEST,
        imageTag=variables["IMAGE_TAG"],
    )
    return _digest(manifest.encode())


def _manifest(source: bytes) -> str:
    """A manifest whose layer and configuration are named by the contents of the source's files."""
    with zipfile.ZipFile(io.BytesIO(source)) as archive:
        names = sorted(name for name in archive.namelist() if not name.endswith("/"))
        files = {name: _digest(archive.read(name)) for name in names}
    layer = json.dumps(files, sort_keys=True).encode()
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
    ).encode()
    described = [
        {"mediaType": f"application/vnd.docker.{kind}", "size": len(blob), "digest": _digest(blob)}
        for kind, blob in (
            ("container.image.v1+json", config),
            ("image.rootfs.diff.tar.gzip", layer),
        )
    ]
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": described[0],
            "layers": described[1:],
        }
    )


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _client(service: str, role_arn: str, session: str) -> Any:
    credentials = iam.role_credentials(role_arn, PRINCIPAL, session.replace(":", "-"))
    settings = instance.settings()
    return boto3.client(
        service,
        endpoint_url=f"http://127.0.0.1:{settings.port}",
        region_name=settings.region,
        **{name.lower(): value for name, value in credentials.items()},
    )


def _announce(build: dict[str, Any]) -> None:
    detail = {
        "build-status": build["buildStatus"],
        "project-name": build["projectName"],
        "build-id": build["arn"],
        "current-phase": build["currentPhase"],
        "version": "1",
        "additional-information": {
            "environment": _hyphenated(build["environment"]),
            "source": build["source"],
            "initiator": build["initiator"],
            "build-complete": build["buildStatus"] != "IN_PROGRESS",
            "exported-environment-variables": build.get("exportedEnvironmentVariables", []),
            "phases": [_hyphenated(phase) for phase in build["phases"]],
        },
    }
    entry = {
        "Source": "aws.codebuild",
        "DetailType": "CodeBuild Build State Change",
        "Resources": [build["arn"]],
        "Detail": json.dumps(detail),
    }
    instance.activity.set()
    eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)


def _hyphenated(fields: dict[str, Any]) -> dict[str, Any]:
    """API names as the event spells them: phaseType, phase-type."""
    return {
        "".join(f"-{each.lower()}" if each.isupper() else each for each in name): value
        for name, value in fields.items()
    }


def _now() -> int:
    return int(time.time())
