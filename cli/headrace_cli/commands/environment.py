"""`up`, `down` and `image`: an environment comes to life and goes."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from headrace_cli import deploying, local_aws
from headrace_cli.app import app
from headrace_cli.commands.options import Timeout
from headrace_cli.errors import UsageError
from headrace_cli.image import Image, ensure_image
from headrace_cli.session import Session, command


@dataclass(frozen=True)
class Up:
    """What `up` found or did."""

    environment: str
    stack: str
    endpoint_url: str | None
    built: bool
    deployed: bool
    image: Image


def bring_up(session: Session, timeout: float) -> Up:
    """Start what runs here, build, deploy and publish the image, skipping what is up to date."""
    environment, console = session.environment, session.console
    where = deploying.target(environment)
    # The local AWS starts while sam builds: neither needs the other.
    with ThreadPoolExecutor(max_workers=1) as pool:
        starting = pool.submit(_start, session) if environment.is_local else None
        with console.step("building functions and layers") as step:
            built = deploying.build(environment, where)
            step.done("" if built else "[dim]up to date[/]")
        endpoint = starting.result() if starting else None
    deployed = not deploying.is_deployed(environment, where)
    if deployed:
        with console.step(f"deploying stack {environment.stack}") as step:
            deploying.deploy(environment, where, progress=step.update)
            deploying.remember_deployed(environment, where)
    with console.step("publishing the tabular image") as step:
        image = ensure_image(session, timeout)
        step.done(image.digest[:19] if image.built else "[dim]up to date[/]")
    return Up(environment.name, environment.stack, endpoint, built, deployed, image)


@command(app)
def up(session: Session, timeout: Timeout = 1800.0) -> None:
    """Start or update an environment: local AWS, stack, image. Again and again is harmless."""
    done = bring_up(session, timeout)
    session.console.document(asdict(done))
    session.console.say()
    where = f" on {done.endpoint_url}" if done.endpoint_url else ""
    session.console.say(f"[bold]{done.environment}[/] is up: stack {done.stack}{where}")
    session.console.say("[dim]next:[/]  headrace publish models/credit-risk")


@command(app)
def down(
    session: Session,
    erase: Annotated[
        bool, typer.Option("--erase", help="Local only: remove its state as well.")
    ] = False,
    delete: Annotated[
        bool, typer.Option("--delete", help="In the cloud: delete the stack.")
    ] = False,
) -> None:
    """Stop the local AWS, keeping its state; or delete a stack in the cloud."""
    environment, console = session.environment, session.console
    if environment.is_local:
        with console.step(f"stopping the local AWS of '{environment.name}'") as step:
            stopped = local_aws.halt(environment, erase=erase)
            step.done(f"{stopped.processes} processes ended")
        for process in stopped.killed:
            console.say(f"[yellow]had to kill[/] {process}")
        state = "erased" if erase else f"kept in {environment.folder}"
        console.say(f"State {state}.")
        console.document({"environment": environment.name, **asdict(stopped)})
        return
    if not delete:
        raise UsageError(
            f"'{environment.name}' is in the cloud; `down` would delete stack "
            f"'{environment.stack}' and stop serving its models.",
            f"headrace down --env {environment.name} --delete",
        )
    stack = session.stack
    retained = {
        "data": stack.data_bucket,
        "artifacts": stack.artifacts_bucket,
        "quarantine": stack.quarantine_bucket,
        "ledger": stack.ledger_table,
        "images": stack.tabular_repository,
        "logs": stack.log_group,
    }
    deploying.delete(environment)
    console.say(f"Stack {environment.stack} is deleted. What holds your data was retained:")
    console.table(["WHAT", "NAME"], list(retained.items()))
    console.say("Endpoints and model packages are SageMaker's: they were not touched either.")
    console.document({"environment": environment.name, "deleted": True, "retained": retained})


@command(app)
def image(session: Session, timeout: Timeout = 1800.0) -> None:
    """Have the stack build the tabular image from this clone, if its source has changed."""
    with session.console.step("publishing the tabular image") as step:
        found = ensure_image(session, timeout)
        step.done("built" if found.built else "[dim]up to date[/]")
    session.console.say(f"{session.stack.tabular_repository}@{found.digest}")
    session.console.document({"repository": session.stack.tabular_repository, **asdict(found)})


def _start(session: Session) -> str:
    with session.console.step("starting the local AWS") as step:
        running = session.environment.local_aws()
        endpoint = (running or local_aws.start(session.environment)).endpoint_url
        step.done(f"{endpoint} [dim]{'was running' if running else ''}[/]")
    return endpoint
