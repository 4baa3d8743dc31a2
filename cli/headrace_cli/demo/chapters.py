"""From data to a model that answers: each does what a user would, as the commands do it."""

from collections.abc import Callable
from pathlib import Path

from headrace.records import DeploymentRecord, DropRecord, RunRecord
from headrace_cli import drops, inference, registry
from headrace_cli.commands.status import endpoint_status
from headrace_cli.demo.data import MODEL, Story
from headrace_cli.demo.telling import Teller
from headrace_cli.environments import ROOT
from headrace_cli.errors import FailedError
from headrace_cli.inference import Predictions
from headrace_cli.journey import Journey, Moment, numbers, run_on
from headrace_cli.publishing import publish, wait_for_verdict
from headrace_cli.session import Session
from headrace_cli.waiting import wait_for
from headrace_cli.watching import watch

Progress = Callable[[str], None]
Until = Callable[[Journey, list[Moment]], bool]

PATIENCE = 180.0


class Play:
    """One performance: the session, the teller, the story's data, and what every chapter does."""

    def __init__(self, session: Session, teller: Teller, story: Story) -> None:
        self.session = session
        self.teller = teller
        self.story = story

    def first_drop(self) -> None:
        """(a) From nothing to a model that answers."""
        title = "the first drop: from files to a model that answers"
        with self.teller.chapter_of("a", title) as step:
            self.publish()
            drop, run = self.drop("first", step.update)
            self.expect(
                "all files became one dataset version",
                drop.state == "accepted" and drop.files == 4 and not drop.quarantined_files,
                f"{drop.rows:,} rows of {drop.files} files: {drop.dataset_version}",
            )
            self.expect("the model beats the baseline", run.status == "better", numbers(run))
            package, _ = self.approve(run, step.update)
            self.expect("the first package is version 1", package == 1, f"v{package}")
            self._answers(run, "single", single=True)
            self._answers(run, "batch", single=False)

    def second_drop(self) -> None:
        """(b) The challenger against the champion, whichever is better."""
        with self.teller.chapter_of("b", "the second drop: challenger against champion") as step:
            before = self.served()
            _, run = self.drop("second", step.update)
            self.expect(
                "challenger and champion were scored on the same rows",
                run.champion_value is not None and run.candidate_value is not None,
                numbers(run),
            )
            if run.status == "better":
                self.approve(run, step.update)
                self._answers(run, "the challenger's", single=True)
            else:
                self._refused(run, before)

    def damaged_drop(self) -> None:
        """(c) What is broken is put aside; the rest goes on."""
        title = "a drop with a poison file and a hash mismatch"
        with self.teller.chapter_of("c", title) as step:
            before = self.served()
            drop, _ = self.drop("damaged", step.update)
            objects = drops.read_objects(self.session, MODEL, drop.drop)
            refused = {
                o.object_key.rpartition("/")[2]: "; ".join(o.reasons)
                for o in objects
                if o.verdict == "quarantined" and o.quarantine_uri
            }
            for name, what in (
                (self.story.poisoned, "the poison file"),
                (self.story.changed, "the file that changed on its way"),
            ):
                reason = refused.get(name, "not quarantined")
                self.expect(f"{what} is in quarantine", name in refused, f"{name}: {reason}")
                self.teller.fact("refused", f"{name} of drop {drop.drop}: {reason}")
            self.expect(
                "its neighbours went on",
                drop.state == "accepted" and drop.files == 2 and len(refused) == 2,
                f"{drop.rows or 0:,} rows of {drop.files} files: {drop.dataset_version}",
            )
            self.untouched(before)

    def flipped_drop(self) -> None:
        """(d) Labels are flipped: the files are fine, the model is not."""
        with self.teller.chapter_of("d", "a drop whose labels are flipped") as step:
            before = self.served()
            drop, run = self.drop("flipped", step.update)
            self.expect(
                "nothing is wrong with the files", drop.state == "accepted", f"{drop.rows:,} rows"
            )
            self._refused(run, before)

    def begin(self) -> None:
        """Have a model that serves, for a chapter that is played alone."""
        self.teller.chapter = "before"
        with self.session.console.step("a model that serves already") as step:
            self.publish()
            _, run = self.drop("first", step.update)
            self.approve(run, step.update)

    def publish(self, folder: Path = ROOT / "models" / MODEL) -> None:
        """Publish a version of the project."""
        sent = publish(self.session, folder)
        project = wait_for_verdict(self.session, sent, PATIENCE)
        reasons = "; ".join(project.reasons) or f"{project.status}; {sent.rollout}"
        self.expect("the project is published", project.status == "published", reasons)

    def send(self, which: str, progress: Progress) -> DropRecord:
        """Drop a folder of the story, and follow it to its verdict."""
        drop, _ = self._send(which, lambda drop, _: drop.state not in ("open", "sealed"), progress)
        self.teller.fact("dropped", f"{which}: {drop.rows or 0:,} rows, {drop.state}")
        return drop

    def drop(self, which: str, progress: Progress) -> tuple[DropRecord, RunRecord]:
        """Drop a folder of the story, and follow it to the verdict on the run it causes."""
        drop, journey = self._send(
            which, lambda drop, journey: _run_of(journey, drop.drop) is not None, progress
        )
        name = drop.drop
        run = _run_of(journey, name)
        if run is None:
            raise FailedError(
                f"Drop {name} ({drop.state}) led to no run.", f"headrace watch {MODEL} --env demo"
            )
        self.teller.fact("dropped", f"{which}: {drop.rows or 0:,} rows, {drop.state}")
        self.teller.fact("trained", f"{run.run}: {run.job_seconds or 0:.1f} s in the job")
        self.teller.fact("compared", f"{run.run}: {numbers(run)}: {run.status}")
        return drop, run

    def _send(
        self, which: str, until: Callable[[DropRecord, Journey], bool], progress: Progress
    ) -> tuple[DropRecord, Journey]:
        name = drops.drop_name()
        files = drops.collect([getattr(self.story, which)])
        drops.send_drop(self.session, MODEL, name, files, progress=progress)
        seen = wait_for(
            lambda: drops.read_drop(self.session, MODEL, name),
            f"drop {name} to be seen",
            timeout=PATIENCE,
            interval=self.session.environment.poll_seconds,
        )

        def reached(journey: Journey, _: list[Moment]) -> bool:
            return until(_find(journey, name), journey)

        journey = self._follow(seen.first_seen_at, reached, progress)
        return _find(journey, name), journey

    def approve(self, run: RunRecord, progress: Progress) -> tuple[int, DeploymentRecord]:
        """Approve a run's package, follow its deployment, and see it live."""
        version, deployment = self.decide(run, progress)
        reasons = "; ".join(deployment.reasons) or deployment.strategy or deployment.deployment
        self.expect("it is live", deployment.status == "live", reasons)
        served = self.served()
        status = endpoint_status(self.session, deployment.endpoint)
        self.expect(
            "SageMaker itself says so",
            served == version and status == "InService",
            f"{deployment.endpoint} is {status} and serves v{served}",
        )
        self.teller.fact("deployed", f"v{version} to {deployment.endpoint}")
        return version, deployment

    def decide(self, run: RunRecord, progress: Progress) -> tuple[int, DeploymentRecord]:
        """Approve a run's package, and follow its deployment to whatever end."""
        package = registry.choose(self.session, MODEL, None)
        self.expect("it is the run's package", package.arn == run.package_arn, package.arn)
        known = {d.deployment for d in registry.deployments(self.session, MODEL)}
        said = registry.decide(self.session, package, "Approved", numbers(run))
        self.teller.fact("approved", f"v{package.version}: {said}")

        def find(journey: Journey) -> DeploymentRecord | None:
            ended = (d for d in journey.deployments if not d.is_open)
            return next((d for d in ended if d.deployment not in known), None)

        journey = self._follow(
            run.started_at, lambda journey, _: find(journey) is not None, progress
        )
        deployment = find(journey)
        if deployment is None:
            raise FailedError(
                f"The approval of v{package.version} led to no deployment.",
                f"headrace logs {MODEL} --stage deployment --env demo",
            )
        return package.version, deployment

    def _answers(self, run: RunRecord, what: str, *, single: bool) -> None:
        (path,) = drops.collect([self.story.unseen]).values()
        rows = inference.read_rows(path)
        wanted = rows[:1] if single else rows
        answer: Predictions = inference.predict(self.session, MODEL, wanted)
        plural = "" if single else "s"
        self.expect(
            f"{what} prediction{plural} from the new model",
            len(answer.rows) == len(wanted) and answer.runs == [run.run],
            f"{len(wanted):,} rows in {answer.requests} requests by v{answer.version}; "
            f"the first: {inference.encode(answer.rows[0])}",
        )
        self.teller.fact("predicted", f"{len(wanted):,} rows by v{answer.version}")

    def _refused(self, run: RunRecord, before: int | None) -> None:
        reasons = run.reasons[0] if run.reasons else "no reason"
        if len(run.reasons) > 1:  # all of them were just told
            reasons += f"; and {len(run.reasons) - 1} more"
        self.expect(
            "the gate refused the candidate, with numbers",
            run.status == "not better" and bool(run.reasons) and run.package_arn is None,
            f"{numbers(run)}; {reasons}",
        )
        self.teller.fact("refused", f"{run.run}: {reasons}")
        self.untouched(before)

    def untouched(self, before: int | None) -> None:
        """Expect that what served still serves."""
        served = self.served()
        self.expect("what served goes on", served == before, f"v{served}")

    def served(self) -> int | None:
        """Return the version that SageMaker says is served."""
        endpoint = self.session.model(MODEL).endpoint
        return inference.served_version(self.session, endpoint)

    def _follow(self, since: str, until: Until, progress: Progress) -> Journey:
        return watch(
            self.session,
            MODEL,
            since=since,
            timeout=PATIENCE,
            until=until,
            on_moment=self.teller.moment,
            on_activity=lambda lines: progress(" | ".join(lines)),
        ).journey

    def expect(self, text: str, holds: bool, evidence: str) -> None:
        """Note an expectation, whether it holds, and the evidence."""
        self.teller.expect(text, holds, evidence)


def _find(journey: Journey, drop: str) -> DropRecord:
    return next(each for each in journey.drops if each.drop == drop)


def _run_of(journey: Journey, drop: str) -> RunRecord | None:
    """Return the run that learns from a drop first, once it has a verdict."""
    version = next((d.dataset_version for d in journey.drops if d.drop == drop), None)
    return run_on(journey, version) if version else None
