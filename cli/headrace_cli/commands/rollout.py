"""`deploy`, `rollback`, `pause` and `resume`: a person decides what an endpoint serves."""

from dataclasses import asdict
from typing import Annotated

import typer

from headrace.records import DeploymentRecord
from headrace.registry import ROLLBACK_FROM, UNCOMPARED_WITH, serving
from headrace_cli import registry, rollout
from headrace_cli.app import app
from headrace_cli.commands.options import Model, Timeout, Wait
from headrace_cli.console import styled
from headrace_cli.errors import RefusedError
from headrace_cli.exit_codes import ExitCode
from headrace_cli.session import Session, command

Reason = Annotated[str, typer.Option(help="Why; the registry remembers it.")]


@command(app)
def deploy(
    session: Session,
    model: Model,
    version: Annotated[int, typer.Option(help="Version to serve.", min=1, show_default=False)],
    back: Annotated[
        bool, typer.Option("--rollback", help="Mean it, though a newer version serves.")
    ] = False,
    uncompared: Annotated[
        bool, typer.Option("--uncompared", help="Without its shadow and A/B test.")
    ] = False,
    reason: Reason = "",
    wait: Wait = False,
    timeout: Timeout = 1800.0,
) -> ExitCode:
    """Approve a version, again if need be, which deploys it."""
    package = registry.choose(session, model, version)
    live = rollout.live(session, model)
    older = bool(live and live.package_version and live.package_version > version)
    if older and not back:
        raise RefusedError(
            f"Version {live and live.package_version} of '{model}' serves, which is newer.",
            f"headrace deploy {model} --version {version} --rollback",
        )
    known = {d.deployment for d in registry.deployments(session, model)}
    if live and live.paused:
        raise RefusedError(
            f"Endpoint {live.endpoint} is paused {live.paused}.", f"headrace resume {model}"
        )
    meant = {ROLLBACK_FROM: older, UNCOMPARED_WITH: uncompared}
    intents = {name: serving(live) for name, is_meant in meant.items() if live and is_meant}
    said = registry.decide(session, package, "Approved", reason, intents)
    session.console.say(f"{styled('Approved')} v{version}")
    deployment = _wait(session, model, known, timeout) if wait else None
    return _verdict(session, package, "Approved", said, deployment)


@command(app)
def rollback(
    session: Session,
    model: Model,
    reason: Reason = "",
    wait: Wait = False,
    timeout: Timeout = 1800.0,
) -> ExitCode:
    """Reject the version that serves, which brings the last good one back."""
    live = rollout.live(session, model)
    if live is None or live.package_version is None:
        raise RefusedError(f"No version of '{model}' serves.", f"headrace status shows '{model}'")
    under_way = [d for d in registry.deployments(session, model) if d.is_under_way]
    if under_way:
        version = under_way[-1].package_version
        raise RefusedError(
            f"Version {version} is being deployed; what serves now would be rejected instead.",
            f"headrace reject {model} --version {version}",
        )
    package = registry.choose(session, model, live.package_version)
    known = {d.deployment for d in registry.deployments(session, model)}
    said = registry.decide(session, package, "Rejected", reason)
    session.console.say(f"{styled('Rejected')} v{package.version}, which serves")
    deployment = _wait(session, model, known, timeout) if wait else None
    return _verdict(session, package, "Rejected", said, deployment)


@command(app)
def pause(session: Session, model: Model, reason: Reason = "") -> None:
    """Stop what happens to a model's endpoint by itself: approvals wait, alarms only tell."""
    record = rollout.pause(session, model, reason, paused=True)
    session.console.say(f"[yellow]paused[/] {record.endpoint}: approvals wait, alarms only tell")
    session.console.say(f"[dim]next:[/]  headrace resume {model}")
    session.console.document(record)


@command(app)
def resume(session: Session, model: Model, reason: Reason = "") -> None:
    """Let things happen to a model's endpoint by themselves again."""
    record = rollout.pause(session, model, reason, paused=False)
    session.console.say(f"[green]resumed[/] {record.endpoint}")
    session.console.say("What was approved meanwhile is deployed within 15 minutes.")
    session.console.document(record)


def _wait(session: Session, model: str, known: set[str], timeout: float) -> DeploymentRecord:
    with session.console.step(f"deploying {model}") as step:
        deployment = registry.wait_for_deployment(session, model, known, timeout)
        step.done(f"v{deployment.package_version} {styled(deployment.status)}")
    for said in deployment.reasons:
        session.console.text(f"  {said}")
    return deployment


def _verdict(
    session: Session,
    package: registry.Package,
    decision: registry.Decision,
    said: str,
    deployment: DeploymentRecord | None,
) -> ExitCode:
    """Document a decision and what came of it; negative when it did not go live."""
    document = {"status": decision, "approval_description": said, "deployment": deployment}
    session.console.document(asdict(package) | document)
    negative = deployment is not None and deployment.status != "live"
    return ExitCode.NEGATIVE if negative else ExitCode.OK
