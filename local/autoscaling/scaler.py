"""The clock of Application Auto Scaling: looks at alarms and schedules, and scales variants."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from local.autoscaling import policies, rules
from local.autoscaling.monitor import Alarm, Monitor
from local.autoscaling.variants import Call, GoneError, State, Variant
from local.sagemaker.errors import ServiceError
from local.sagemaker.store import Record, Store

_TICKS = 12  # looks per period of an alarm
_KEPT = 500  # activities; AWS keeps six weeks
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wish:
    """A capacity that somebody wants, and why."""

    capacity: int
    cause: str
    policy: str = ""


class Scaler:
    """Scales each registered variant to what its policies and scheduled actions want."""

    def __init__(
        self,
        store: Store,
        sagemaker: Call,
        monitor: Monitor,
        period: float,
        forget: Callable[[Record], None],
    ) -> None:
        self._store = store
        self._forget = forget
        self._sagemaker = sagemaker
        self._monitor = monitor
        self._period = period
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="autoscaling", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._closing.wait(self._period / _TICKS):
            for target in self._store.all("ScalableTarget"):
                try:
                    self.look(target, time.time())
                except ServiceError as error:  # the endpoint is being changed
                    logger.info("%s: %s", target["ResourceId"], error)
                except Exception:  # a thread's boundary: the next look goes on
                    logger.exception("scaling of %s", target["ResourceId"])

    def look(self, target: Record, now: float) -> None:
        """Scale one target if anything asks for it now. Raises ServiceError."""
        variant = Variant.of(target)
        try:
            state = variant.read(self._sagemaker)
        except GoneError:
            # "Delete endpoints configured for auto scaling": its variants are deregistered.
            self._forget(target)
            return
        self._finish(target, state, now)
        found = [each for each in self._store.all("ScalingPolicy") if _same(each, target)]
        self._report_silence(found)
        target = self._run_schedule(target, now)
        if not state.is_settled:
            return
        wish = self._enforced(target, state) if target.get("_enforce") else None
        wish = wish or self._dynamic(target, found, state, now)
        if wish and wish.capacity != state.desired:
            self._scale(target, variant, state, wish, now)

    def _report_silence(self, found: list[Record]) -> None:
        """Report no invocations as 0.

        "If a variant's traffic becomes zero, SageMaker AI automatically scales in [...]. In this
        case, SageMaker AI emits metrics with a value of zero." A sum does not change by it.
        """
        for policy in found:
            if policy["PolicyType"] != "TargetTrackingScaling":
                continue
            metric = policies.metric(policy)
            if metric["MetricName"] == "InvocationsPerInstance" and metric["Statistic"] == "Sum":
                names = {each["Name"]: each["Value"] for each in metric["Dimensions"]}
                self._monitor.record(metric["Namespace"], metric["MetricName"], 0.0, names)

    def _run_schedule(self, target: Record, now: float) -> Record:
        """Apply what is due to the target's limits; return the target."""
        limits: Record = {}
        for action in self._store.all("ScheduledAction"):
            if not _same(action, target):
                continue
            since = max(action["_since"], action.get("StartTime", 0.0))
            when = self._monitor.next_run(action["Schedule"], action.get("Timezone", "UTC"), since)
            if when is None or not since <= when <= min(now, action.get("EndTime", now)):
                continue
            limits |= action["ScalableTargetAction"]
            key = f"{_key(action)}|{action['ScheduledActionName']}"
            self._store.update("ScheduledAction", key, lambda record: record.update(_since=now))
        if not limits or target["SuspendedState"].get("ScheduledScalingSuspended"):
            return target
        return self._note(target, {**limits, "_enforce": True})

    def _enforced(self, target: Record, state: State) -> Wish | None:
        """Return the nearest capacity within limits that a scheduled action changed."""
        least, most = target["MinCapacity"], target["MaxCapacity"]
        if state.desired < least:
            return Wish(least, f"minimum capacity was set to {least}")
        if state.desired > most:
            return Wish(most, f"maximum capacity was set to {most}")
        self._note(target, {"_enforce": False})
        return None

    def _note(self, target: Record, changes: Record) -> Record:
        """Change a target's record; return what it became."""
        key = _key(target)
        changed = self._store.update("ScalableTarget", key, lambda kept: kept.update(changes))
        return changed or {**target, **changes}

    def _dynamic(
        self, target: Record, found: list[Record], state: State, now: float
    ) -> Wish | None:
        """Return what the policies want: the largest capacity of those that scale out, else the
        largest of those that scale in, if all that track a target agree to it."""
        out: list[Wish] = []
        less: list[Wish] = []
        tracking = 0
        for policy in found:
            config = policy[policies.CONFIGS[policy["PolicyType"]]]
            is_tracking = policy["PolicyType"] == "TargetTrackingScaling"
            tracking += is_tracking and not config.get("DisableScaleIn")
            for alarm in self._monitor.ringing(policy["PolicyARN"]):
                look = self._track if is_tracking else self._step
                wish = look(target, policy, alarm, state, now)
                if wish and wish.capacity != state.desired:
                    (out if wish.capacity > state.desired else less).append(wish)
        suspended = target["SuspendedState"]
        if out and not suspended.get("DynamicScalingOutSuspended"):
            return max(out, key=lambda wish: wish.capacity)
        agreed = len([wish for wish in less if wish.policy]) == tracking
        if less and agreed and not suspended.get("DynamicScalingInSuspended"):
            return max(less, key=lambda wish: wish.capacity)
        return None

    def _track(
        self, target: Record, policy: Record, alarm: Alarm, state: State, now: float
    ) -> Wish | None:
        config = policy[policies.CONFIGS["TargetTrackingScaling"]]
        aim = policies.target(policy, self._period)
        cause = _cause(alarm, policy)
        if "-AlarmHigh-" in alarm.name:
            if alarm.value is None:
                return None
            cooldown = config.get("ScaleOutCooldown", rules.DEFAULT_COOLDOWN)
            # What the last scale-out added counts as part of the next one until it cooled down.
            is_hot = now - target.get("_out", 0.0) < cooldown
            base = target.get("_before", state.desired) if is_hot else state.desired
            capacity = rules.track_out(base, alarm.value, aim)
            if capacity <= state.desired:
                return None
            return Wish(_bounded(target, capacity), cause, policy["PolicyName"])
        cooldown = config.get("ScaleInCooldown", rules.DEFAULT_COOLDOWN)
        if now - target.get("_in", 0.0) < cooldown:
            return None
        capacity = rules.track_in(state.desired, alarm.value, aim)
        return Wish(_bounded(target, capacity), cause, policy["PolicyName"])

    def _step(
        self, target: Record, policy: Record, alarm: Alarm, state: State, now: float
    ) -> Wish | None:
        config = policy[policies.CONFIGS["StepScaling"]]
        if alarm.value is None:
            return None
        capacity = rules.step(config, state.desired, alarm.threshold, alarm.value)
        last = target.get("_out" if capacity > state.desired else "_in", 0.0)
        cooldown = config.get("Cooldown", rules.DEFAULT_COOLDOWN)
        if now - last < max(cooldown, alarm.period):
            return None
        return Wish(_bounded(target, capacity), _cause(alarm, policy))

    def _scale(
        self, target: Record, variant: Variant, state: State, wish: Wish, now: float
    ) -> None:
        activity = {
            **{name: target[name] for name in ("ServiceNamespace", "ResourceId")},
            "ScalableDimension": target["ScalableDimension"],
            "ActivityId": str(uuid.uuid4()),
            "Description": f"Setting desired instance count to {wish.capacity}.",
            "Cause": wish.cause,
            "StartTime": now,
            "StatusCode": "InProgress",
            "StatusMessage": (
                f"Successfully set desired instance count to {wish.capacity}. Waiting for change "
                "to be fulfilled by sagemaker."
            ),
            "_wanted": wish.capacity,
        }
        try:
            variant.set(self._sagemaker, wish.capacity)
        except ServiceError as error:
            activity.update(
                StatusCode="Failed",
                EndTime=now,
                StatusMessage=f"Failed to set desired instance count to {wish.capacity}. "
                f"Reason: {error.message}",
            )
        moment = {"_out": now, "_before": state.desired, "_in": 0.0}
        if wish.capacity < state.desired:
            moment = {"_in": now}
        self._note(target, moment)
        self._store.insert(
            "ScalingActivity", activity["ActivityId"], activity["ActivityId"], activity
        )
        for old in self._store.all("ScalingActivity")[:-_KEPT]:
            self._store.delete("ScalingActivity", old["ActivityId"])

    def _finish(self, target: Record, state: State, now: float) -> None:
        """End the activities whose change is over."""
        if not state.is_settled:
            return
        for activity in self._store.all("ScalingActivity"):
            if not _same(activity, target) or activity["StatusCode"] != "InProgress":
                continue
            wanted = activity["_wanted"]
            if state.current == wanted:
                status = "Successful"
                message = (
                    f"Successfully set desired instance count to {wanted}. Change successfully "
                    "fulfilled by sagemaker."
                )
            else:
                status = "Failed"
                message = f"Failed to set desired instance count to {wanted}. {state.failure}"
            ended = {"StatusCode": status, "StatusMessage": message, "EndTime": now}
            self._end(activity, ended)

    def _end(self, activity: Record, ended: Record) -> None:
        name = activity["ActivityId"]
        self._store.update("ScalingActivity", name, lambda kept: kept.update(ended))


def _bounded(target: Record, capacity: int) -> int:
    bounded: int = min(target["MaxCapacity"], max(target["MinCapacity"], capacity))
    return bounded


def _cause(alarm: Alarm, policy: Record) -> str:
    return f"monitor alarm {alarm.name} in state ALARM triggered policy {policy['PolicyName']}"


def _key(record: Record) -> str:
    return f"{record['ResourceId']}|{record['ScalableDimension']}"


def _same(record: Record, target: Record) -> bool:
    return _key(record) == _key(target)
