"""`status`: every model at a glance."""

from typing import Any

from botocore.exceptions import ClientError

from headrace.records import ModelRecord
from headrace_cli.app import app
from headrace_cli.console import clock, styled
from headrace_cli.errors import error_code
from headrace_cli.journey import Journey, read_journey
from headrace_cli.registry import packages
from headrace_cli.session import Session, command


@command(app)
def status(session: Session) -> None:
    """Show what is deployed, what every model serves, and the newest verdicts."""
    console, stack = session.console, session.stack
    models = [_summary(session, m.model) for m in session.ledger.query(ModelRecord, "models")]
    aws = session.environment.local_aws() if session.environment.is_local else None
    console.document(
        {
            "environment": session.environment.name,
            "stack": {"name": stack.name, "status": stack.status},
            "endpoint_url": aws.endpoint_url if aws else None,
            "models": models,
        }
    )
    where = f" on {aws.endpoint_url}" if aws else ""
    console.say(f"[bold]{session.environment.name}[/]: stack {stack.name} {stack.status}{where}")
    if not models:
        console.say("[dim]next:[/]  headrace publish models/credit-risk")
        return
    console.say()
    columns = ["MODEL", "LIVE", "SINCE", "ENDPOINT", "DROP", "RUN", "DEPLOYMENT", "PENDING"]
    console.table(columns, [_row(summary) for summary in models])


def _summary(session: Session, model: str) -> dict[str, Any]:
    journey = read_journey(session, model)
    live = journey.endpoint
    return {
        "model": model,
        "project_version": journey.model.project_version,
        "endpoint": journey.model.endpoint,
        "endpoint_status": endpoint_status(session, journey.model.endpoint),
        "live_version": live.package_version if live else None,
        "live_since": live.live_since if live else None,
        **_newest(journey),
        "pending_versions": [
            p.version for p in packages(session, model) if p.status == "PendingManualApproval"
        ],
    }


def endpoint_status(session: Session, endpoint: str) -> str | None:
    """Return what SageMaker says of an endpoint, or None when there is none."""
    try:
        reply = session.client("sagemaker").describe_endpoint(EndpointName=endpoint)
    except ClientError as error:
        if error_code(error) == "ValidationException" and "Could not find" in str(error):
            return None
        raise
    return str(reply["EndpointStatus"])


def _newest(journey: Journey) -> dict[str, Any]:
    drop = journey.drops[-1] if journey.drops else None
    dataset = journey.datasets[-1] if journey.datasets else None
    run = journey.runs[-1] if journey.runs else None
    deployment = journey.deployments[-1] if journey.deployments else None
    return {
        "last_drop": drop and {"drop": drop.drop, "verdict": drop.state, "at": drop.last_seen_at},
        "last_dataset": dataset and {"version": dataset.dataset_version, "rows": dataset.rows},
        "last_run": run and {"run": run.run, "verdict": run.status, "at": run.started_at},
        "last_deployment": deployment
        and {
            "deployment": deployment.deployment,
            "version": deployment.package_version,
            "verdict": deployment.status,
            "at": deployment.started_at,
        },
    }


def _row(summary: dict[str, Any]) -> list[str]:
    def verdict(name: str) -> str:
        return styled(summary[name]["verdict"]) if summary[name] else ""

    live = summary["live_version"]
    return [
        summary["model"],
        f"v{live}" if live else "",
        clock(summary["live_since"]),
        summary["endpoint_status"] or "",
        verdict("last_drop"),
        verdict("last_run"),
        verdict("last_deployment"),
        ", ".join(f"v{v}" for v in summary["pending_versions"]),
    ]
