"""What happens to endpoints in the background: deployed, scaled, brought back, removed.

Every piece of work runs in a thread of its own and ends in a status of the endpoint's record.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Mapping
from typing import Any

from local.sagemaker.context import Context
from local.sagemaker.hosting import capacity, description, plan
from local.sagemaker.hosting.alarms import Alarms
from local.sagemaker.hosting.fleet import Fleet, launch, role_of
from local.sagemaker.hosting.instance import DeploymentError
from local.sagemaker.hosting.invocation import Runtime
from local.sagemaker.hosting.rollout import ClosedError, RollbackError, Rollout, Side
from local.sagemaker.resources import Resources
from local.sagemaker.store import Record

_INTERRUPTED = (
    "The local AWS was restarted while the endpoint was updated; it serves the config it served "
    "before the update."
)
_OVER: Record = {"_pending": None, "_scaling": None, "PendingDeploymentSummary": None}
logger = logging.getLogger(__name__)


class Deployments:
    """Carries out what the records of endpoints say is under way.

    A record keeps its deployments whole: `_serving` is what serves, `_pending` what is being
    brought into service, each `{id, config, models, strategy}` as they were when the deployment
    began; `_scaling` holds weights and capacities being applied. So a config or model deleted
    meanwhile, or a restart, changes nothing of what an endpoint serves.
    """

    def __init__(self, context: Context, resources: Resources, runtime: Runtime) -> None:
        self._context = context
        self._resources = resources
        self._runtime = runtime
        self._folder = context.state / "endpoints"
        self._rollouts: dict[str, Rollout] = {}
        self._closing = threading.Event()

    @property
    def closed(self) -> bool:
        """Whether records stay as they are, for the next start."""
        return self._closing.is_set()

    def close(self) -> None:
        """Leave records as they are, for the next start; kill what is being deployed."""
        self._closing.set()
        for rollout in list(self._rollouts.values()):
            rollout.kill()

    def create(self, name: str) -> None:
        """Bring a new endpoint into service."""
        self._in_background(name, self._create)

    def update(self, name: str) -> None:
        """Replace the fleet that serves, as the strategy says; on failure it goes on serving."""
        self._in_background(name, self._update)

    def scale(self, name: str) -> None:
        """Apply the weights and capacities that were asked for, or keep those that were."""
        self._in_background(name, self._scale)

    def restore(self, name: str) -> None:
        """Start again what served before a restart."""
        self._in_background(name, self._restore)

    def remove(self, name: str) -> None:
        """Stop an endpoint and forget it."""
        self._in_background(name, self._remove)

    def _create(self, name: str) -> None:
        fleet = self._launch(name, self._resources.get(name)["_pending"])
        self._wait_ready(fleet)
        self._settle(name, fleet)

    def _update(self, name: str) -> None:
        pending = self._resources.get(name)["_pending"]
        old = self._runtime.fleets[name]
        rollout = self._rollouts[name] = self._rollout(name, pending, old)
        leaving = [target.fleet for target in old.routes.targets]
        fleet = self._runtime.fleets[name] = rollout.run()
        del self._rollouts[name]
        # From here on the new config is what a restart brings back.
        if not self.closed:
            self._resources.update(name, {"_serving": pending, "_pending": None})
        counts = {each: len(variant.replicas) for each, variant in old.variants.items()}
        messages = {each: f"Terminating {count} instance(s)." for each, count in counts.items()}
        self._tell(name, "old", "Deleting", messages, dict.fromkeys(counts, 0))
        _stop(leaving)
        self._settle(name, fleet)
        self._tidy(name, pending)

    def _rollout(self, name: str, pending: Record, old: Fleet) -> Rollout:
        strategy, config = pending["strategy"], pending["config"]
        policy = strategy.get("RollingUpdatePolicy") or strategy.get("BlueGreenUpdatePolicy") or {}
        alarms = strategy.get("AutoRollbackConfiguration", {}).get("Alarms", [])
        serving = {each: len(variant.replicas) for each, variant in old.variants.items()}
        return Rollout(
            old=old,
            launch=lambda counts: self._launch(name, pending, counts),
            config_name=config["EndpointConfigName"],
            steps=plan.plan(strategy, serving, description.counts(config)),
            strategy=strategy,
            alarms=Alarms(
                self._context,
                name,
                role_of(pending),
                [alarm["AlarmName"] for alarm in alarms],
            ),
            tell=lambda *news: self._tell(name, *news),
            closing=self._closing,
            scale=self._context.settings.bake_scale,
            limit=policy.get("MaximumExecutionTimeoutInSeconds", float("inf")),
        )

    def _scale(self, name: str) -> None:
        record = self._resources.get(name)
        fleet, deployment = self._runtime.fleets[name], record["_serving"]
        config = capacity.with_desired(deployment["config"], record["_scaling"])
        capacity.weigh(fleet, config)
        had, wanted = description.counts(deployment["config"]), description.counts(config)
        changed = [each for each in had if wanted[each] != had[each]]
        if changed:
            verbs = {each: "out" if wanted[each] > had[each] else "in" for each in changed}
            messages = {
                each: f"Scaling {verbs[each]} desired instance count to {wanted[each]}."
                for each in changed
            }
            self._tell(name, "old", "Updating", messages, {})
        try:
            capacity.scale(fleet, config)
        except DeploymentError as error:
            capacity.weigh(fleet, deployment["config"])
            self._settle(name, fleet, str(error))
            return
        fleet.deployment = {**deployment, "config": config}
        self._settle(name, fleet)

    def _restore(self, name: str) -> None:
        record = self._resources.get(name)
        interrupted = "_pending" in record or "_scaling" in record
        reason = _INTERRUPTED if interrupted else record.get("FailureReason")
        # Requests are told to retry until it is ready.
        fleet = self._runtime.fleets[name] = self._launch(name, record["_serving"])
        try:
            self._wait_ready(fleet)
        except DeploymentError:
            del self._runtime.fleets[name]
            raise
        self._settle(name, fleet, reason)
        self._tidy(name, record["_serving"])

    def _remove(self, name: str) -> None:
        fleet = self._runtime.fleets.pop(name, None)
        self._rollouts.pop(name, None)
        if fleet:
            _stop([target.fleet for target in fleet.routes.targets])
        shutil.rmtree(self._folder / name, ignore_errors=True)
        self._resources.delete(name)

    def _launch(self, name: str, pending: Record, counts: Mapping[str, int] | None = None) -> Fleet:
        folder = self._folder / name / pending["id"]
        return launch(self._context, name, pending, folder, counts)

    def _wait_ready(self, fleet: Fleet) -> None:
        """Wait for a fleet; one that does not get ready is stopped. Raises DeploymentError."""
        try:
            fleet.wait_ready()
        except DeploymentError:
            fleet.stop()
            raise

    def _tell(
        self,
        name: str,
        side: Side,
        status: str,
        messages: Mapping[str, str],
        current: Mapping[str, int],
    ) -> None:
        """Show in the record what is done now."""

        def change(record: Record) -> None:
            serving = record["ProductionVariants"]
            for variant in serving:
                variant.pop("VariantStatus", None)
            summary = record["PendingDeploymentSummary"] if side == "new" else record
            description.show_status(summary["ProductionVariants"], status, messages, current)

        if not self.closed:
            self._resources.update(name, change)

    def _settle(self, name: str, fleet: Fleet, reason: str | None = None) -> None:
        """Send the endpoint's requests to a fleet from now on, and say so."""
        self._runtime.fleets[name] = fleet
        fleet.deploying = ""
        config = fleet.deployment["config"]
        settled: dict[str, Any] = {
            "EndpointStatus": "InService",
            "EndpointConfigName": config["EndpointConfigName"],
            "ProductionVariants": description.summaries(fleet.deployment),
            "ShadowProductionVariants": description.summaries(
                fleet.deployment, "ShadowProductionVariants"
            ),
            "DataCaptureConfig": description.capture(config),
            "AsyncInferenceConfig": config.get("AsyncInferenceConfig"),
            "FailureReason": reason and reason[:1024],
            "_serving": fleet.deployment,
        }
        if not self.closed:
            self._resources.update(name, {**settled, **_OVER})

    def _fail(self, name: str, reason: str) -> None:
        """Record a failure: what served before does still, or nothing does."""
        if rollout := self._rollouts.pop(name, None):
            rollout.kill()
        if self.closed:
            return
        if fleet := self._runtime.fleets.get(name):
            self._settle(name, fleet, reason)
            self._tidy(name, fleet.deployment)
            return
        failed = {"EndpointStatus": "Failed", "FailureReason": reason[:1024]}
        self._resources.update(name, {**failed, **_OVER})
        shutil.rmtree(self._folder / name, ignore_errors=True)

    def _fail_rollback(self, name: str, reason: str) -> None:
        """Record that old and new fleet both serve, until the next update replaces them."""
        fleet = self._runtime.fleets[name]
        current = {each: len(variant.replicas) for each, variant in fleet.variants.items()}

        def change(record: Record) -> None:
            record.update(EndpointStatus="UpdateRollbackFailed", FailureReason=reason[:1024])
            record.update(_OVER)
            for variant in record["ProductionVariants"]:
                variant.pop("VariantStatus", None)
                variant["CurrentInstanceCount"] = current[variant["VariantName"]]

        if not self.closed:
            self._resources.update(name, change)

    def _tidy(self, name: str, deployment: Record) -> None:
        """Remove the files of the endpoint's other deployments."""
        for folder in (self._folder / name).glob("*"):
            if folder.name != deployment["id"] and not self.closed:
                shutil.rmtree(folder, ignore_errors=True)

    def _in_background(self, name: str, work: Callable[[str], None]) -> None:
        def run() -> None:
            try:
                work(name)
            except ClosedError:
                return
            except DeploymentError as error:
                self._fail(name, str(error))
            except RollbackError as error:
                self._fail_rollback(name, str(error))
            except Exception as error:  # a deployment's boundary: it ends in a status
                if not self.closed:
                    logger.exception("endpoint %s", name)
                    self._fail(name, f"InternalServerError: {type(error).__name__}: {error}")

        threading.Thread(target=run, name=f"sagemaker-{name}", daemon=True).start()


def _stop(fleets: list[Fleet]) -> None:
    """Stop fleets, once; there are two since a rollback failed."""
    for fleet in {id(fleet): fleet for fleet in fleets}.values():
        fleet.stop()
