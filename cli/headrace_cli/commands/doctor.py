"""`doctor`: is everything as it should be, and if not, what to do?"""

from dataclasses import asdict

from headrace_cli.app import app
from headrace_cli.console import styled
from headrace_cli.doctoring import examine
from headrace_cli.exit_codes import ExitCode
from headrace_cli.session import Session, command


@command(app)
def doctor(session: Session) -> ExitCode:
    """Check tools, credentials, stack, queues, alarms, and every model; say what to do."""
    console = session.console
    with console.step("examining"):
        findings = list(examine(session))
    console.document([asdict(f) for f in findings])
    console.table(["CHECK", "", "FOUND"], [[f.check, styled(f.state), f.detail] for f in findings])
    bad = [f for f in findings if f.state != "ok"]
    for finding in bad:
        console.say(f"[bold]next:[/]  {finding.check}: {finding.todo}")
    healthy = all(f.state != "wrong" for f in findings)
    return ExitCode.OK if healthy else ExitCode.NEGATIVE
