"""`approve` and `reject`: a person decides about a model package."""

from dataclasses import asdict
from typing import Annotated

import typer

from headrace.records import DeploymentRecord, RunRecord
from headrace_cli import registry
from headrace_cli.app import app
from headrace_cli.commands.options import Model, Timeout, Wait
from headrace_cli.console import styled
from headrace_cli.exit_codes import ExitCode
from headrace_cli.journey import numbers
from headrace_cli.registry import Decision, Package
from headrace_cli.session import Session, command

Version = Annotated[
    int, typer.Option(help="Version (default: the newest pending).", min=0, show_default=False)
]
Reason = Annotated[str, typer.Option(help="Why; the registry remembers it.")]


@command(app)
def approve(
    session: Session,
    model: Model,
    version: Version = 0,
    reason: Reason = "",
    wait: Wait = False,
    timeout: Timeout = 1800.0,
) -> ExitCode:
    """Approve a package, which deploys it."""
    package, run = _chosen(session, model, version)
    known = {d.deployment for d in registry.deployments(session, model)}
    description = _decide(session, package, "Approved", reason)
    deployment = None
    if wait:
        with session.console.step(f"deploying v{package.version}") as step:
            deployment = registry.wait_for_deployment(session, model, known, timeout)
            step.done(styled(deployment.status))
        for said in deployment.reasons:
            session.console.text(f"  {said}")
    _document(session, package, "Approved", description, run, deployment)
    negative = deployment is not None and deployment.status != "live"
    return ExitCode.NEGATIVE if negative else ExitCode.OK


@command(app)
def reject(session: Session, model: Model, version: Version = 0, reason: Reason = "") -> None:
    """Reject a package; if it serves, the last good version comes back."""
    package, run = _chosen(session, model, version)
    description = _decide(session, package, "Rejected", reason)
    _document(session, package, "Rejected", description, run, None)


def _chosen(session: Session, model: str, version: int) -> tuple[Package, RunRecord | None]:
    """Choose the package, and show what is known of it before anything is decided."""
    package = registry.choose(session, model, version or None)
    run = registry.run_of(session, package)
    console = session.console
    console.say(f"[bold]{model} v{package.version}[/] {styled(package.status)}")
    if run:
        console.say(f"  {styled(run.status)} {numbers(run)}")
        for reason in [*run.reasons, *run.notes]:
            console.text(f"  {reason}")
    else:
        console.say("  [yellow]no run of the ledger made it[/]")
    return package, run


def _decide(session: Session, package: Package, decision: Decision, reason: str) -> str:
    description = registry.decide(session, package, decision, reason)
    session.console.say(f"{styled(decision)} v{package.version}")
    return description


def _document(
    session: Session,
    package: Package,
    decision: Decision,
    description: str,
    run: RunRecord | None,
    deployment: DeploymentRecord | None,
) -> None:
    session.console.document(
        {
            **asdict(package),
            "status": decision,
            "approval_description": description,
            "run": run,
            "deployment": deployment,
        }
    )
