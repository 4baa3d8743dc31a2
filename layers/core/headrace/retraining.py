"""When a model trains: one pure decision that everything which may start a run goes through.

The decision looks at what is there (data no run has had, requests without an answer, a run in
flight), never at the event that made somebody look. So events may come twice, late, in any order or
not at all: the next look decides the same.

What starts a run, each if the policy says so: data no run has had (`rows`), outcomes (`outcomes`),
live quality (`metric`), another project version (`project`), and requests: of recovery (`drift`),
of the schedule, or by hand. Against it, in this order:

1. **Nothing new.** A run that came to a verdict on the same data with the same code would come to
   the same again. Only a person may insist (`again`). A run that failed or was refused learnt
   nothing, so a request may try that again; data alone does not. After three of them only a person
   does: a metric that stays bad would ask after every cooldown, for ever.
2. **A run in flight.** What asks meanwhile for the same data and code is answered by that run; the
   rest waits for its end, and then causes one run together.
3. **Cooldown**, since the end of the last run whatever its cause. It holds for what can come of the
   model itself or comes all the time: recovery, metric, outcomes, schedule. It does not hold for
   new data, a new project version, or a person: each says something no run knew.
4. **Budget**, for everything but a person, whose runs count all the same.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from statistics import median
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from headrace.monitoring.section import MEASURED
from headrace.prices import USD_PER_HOUR
from headrace.sections import Duration, Section, in_words, lasting

RequestedBy = Literal["recovery", "schedule", "hand"]
_LESS_IS_BETTER = frozenset({"brier", "log_loss", "rmse", "mae"})
_BUDGET = r"(\d+(?:\.\d+)?) (USD|runs)/day"
_SCHEDULE = r"daily|weekly|monthly|rate\([1-9]\d* (minute|hour|day)s?\)|cron\(\S+( \S+){5}\)"
# As many of the newest runs tell how long a run usually takes.
_USUAL_OF = 10
# So many runs on the same data with the same code that come to no verdict are enough.
_MOST_ATTEMPTS = 3


class Retraining(Section):
    """What starts a run, and what keeps runs from becoming too many."""

    rows: int | None = Field(
        1,
        ge=1,
        description="Accepted rows no run has had that start one; 1: every dataset does; null: "
        "data alone never does.",
    )
    outcomes: int | None = Field(
        None, ge=1, description="Outcomes accepted since the last run that start one."
    )
    schedule: Annotated[str, Field(pattern=f"^({_SCHEDULE})$")] | None = Field(
        None,
        description="`daily`, `weekly`, `monthly` (at 03:00 UTC, on Monday, on the first), or an "
        "EventBridge `cron(...)` or `rate(...)`.",
    )
    drift: bool = Field(True, description="Whether recovery's requests start a run.")
    metric: dict[str, float] = Field(
        {}, description="Metric of live quality: a worse value in the latest report starts a run."
    )
    project: bool = Field(
        False, description="Whether a new project version is trained on the data there are."
    )
    cooldown: Duration = Field(
        lasting("6h"),
        ge=0,
        description="For so long after a run none starts for drift, a metric, outcomes or the "
        "schedule; new data, new code and people need not wait.",
    )
    budget: Annotated[str, Field(pattern=f"^{_BUDGET}$")] | None = Field(
        None,
        description="What runs may cost in a day (UTC): `4 runs/day`, or `20 USD/day`, an "
        "estimate: the instance's price on demand times what its jobs usually take.",
    )

    @property
    def expression(self) -> str | None:
        """The schedule as EventBridge takes it."""
        named = {
            "daily": "cron(0 3 * * ? *)",
            "weekly": "cron(0 3 ? * MON *)",
            "monthly": "cron(0 3 1 * ? *)",
        }
        return named.get(self.schedule, self.schedule) if self.schedule else None


def retraining_mistakes(policy: Retraining, instance_type: str, problem: str) -> list[str]:
    """Return what of a policy cannot be kept: a metric nobody measures, a price nobody knows."""
    measured = MEASURED[problem]
    found = [
        f"retraining.metric: {name!r} is not measured of live {problem} predictions: choose one "
        f"of {sorted(measured)}"
        for name in policy.metric
        if name not in measured
    ]
    if policy.budget and "USD" in policy.budget and instance_type not in USD_PER_HOUR:
        found.append(
            f"retraining.budget: no price of {instance_type} is known here; say `runs/day`"
        )
    return found


class Run(NamedTuple):
    """A run, as far as the decision looks at it. `data` stands for the versions it learns from."""

    run: str
    status: Literal["training", "better", "not better", "failed", "refused"]
    data: str
    project_version: str
    started_at: datetime
    ended_at: datetime | None = None
    seconds: float | None = None

    @property
    def is_paid(self) -> bool:
        """Whether a job was, or may have been, started for it."""
        return self.status != "refused"

    def is_same(self, data: str | None, project_version: str) -> bool:
        """Whether it learns from these data with this code."""
        return (self.data, self.project_version) == (data, project_version)


class Request(NamedTuple):
    """A request that has no answer yet. Only a person's may be `again`."""

    request: str
    by: RequestedBy
    reason: str
    person: str | None = None
    again: bool = False


class Arrival(NamedTuple):
    """A dataset no run has had."""

    drop: str
    rows: int


class Quality(NamedTuple):
    """Live quality in the latest report."""

    at: datetime
    numbers: Mapping[str, float | None]


class Situation(NamedTuple):
    """All that is decided by. `data` stands for what a run would learn from; None: nothing."""

    now: datetime
    data: str | None
    project_version: str
    runs: tuple[Run, ...] = ()  # oldest first
    requests: tuple[Request, ...] = ()
    arrivals: tuple[Arrival, ...] = ()
    outcomes: int = 0
    quality: Quality | None = None
    instance_type: str = "ml.m5.large"
    longest_seconds: float = 3600


class Answer(BaseModel):
    """What is told to a request."""

    model_config = ConfigDict(frozen=True)
    request: str
    answer: Literal["trained", "refused", "waiting"]
    reasons: list[str]
    run: str | None = None


class Decision(BaseModel):
    """The verdict with its reasons; of a run: who wants it, and how many were the same before."""

    model_config = ConfigDict(frozen=True)
    verdict: Literal["train", "wait", "no"]
    reasons: list[str]
    requested_by: list[str] = []
    attempt: int = 0
    answers: list[Answer] = []


class _Ask(NamedTuple):
    """Something that wants a run. The cooldown holds for who is `patient`."""

    by: str
    why: str
    patient: bool = True
    person: bool = False


class _Against(NamedTuple):
    """Why no run starts now, and whether waiting helps."""

    answer: Literal["waiting", "refused"]
    reason: str


def decide(case: Situation, policy: Retraining) -> Decision:
    """Decide whether a run starts now, and answer the requests."""
    same = [
        r for r in case.runs if (r.data, r.project_version) == (case.data, case.project_version)
    ]
    known = next((r for r in reversed(same) if r.status not in ("failed", "refused")), None)
    hopeless = known is None and len(same) >= _MOST_ATTEMPTS
    answers, open_requests = [], []
    for request in case.requests:
        answer = _answer(request, case, policy, known, hopeless=hopeless)
        if answer:
            answers.append(answer)
        else:
            open_requests.append(request)
    asks = [_ask(request) for request in open_requests]
    if case.data is not None and known is None and not hopeless:
        asks += _by_itself(case, policy)
    if not asks:
        return Decision(verdict="no", reasons=["nothing asks for a run"], answers=answers)
    against = _against(case, policy, asks)
    # Alarms that rang at once ask for the same thing in the same words.
    reasons = [against.reason] if against else list(dict.fromkeys(ask.why for ask in asks))
    told: Literal["trained", "refused", "waiting"] = against.answer if against else "trained"
    answers += [Answer(request=r.request, answer=told, reasons=reasons) for r in open_requests]
    return Decision(
        verdict={"trained": "train", "waiting": "wait", "refused": "no"}[told],
        reasons=reasons,
        requested_by=list(dict.fromkeys(ask.by for ask in asks)),
        attempt=len(same),
        answers=answers,
    )


def _answer(
    request: Request, case: Situation, policy: Retraining, known: Run | None, *, hopeless: bool
) -> Answer | None:
    """Answer what needs no run of its own; None: it asks for one."""
    insists = request.again and request.by == "hand"
    if request.by == "recovery" and not policy.drift:
        reason = "model.yaml does not train for recovery (retraining.drift)"
    elif case.data is None:
        reason = "there is no dataset to train on: drop one"
    elif hopeless and request.by != "hand":
        reason = (
            f"{_MOST_ATTEMPTS} runs on the same data with the same code came to no verdict: mend "
            "what they failed of, then `headrace retrain`"
        )
    elif known is None or insists:
        return None
    elif known.status == "training":
        reason = f"run {known.run} is under way on the same data with the same code"
        return Answer(request=request.request, answer="trained", reasons=[reason], run=known.run)
    else:
        reason = (
            f"run {known.run} learnt from the same data with the same code, and was "
            f"{known.status}: `headrace retrain --again` insists"
        )
    return Answer(request=request.request, answer="refused", reasons=[reason])


def _ask(request: Request) -> _Ask:
    if request.by == "hand":
        who, why = request.person or "hand", f"by hand: {request.reason}"
        return _Ask(who, why, patient=False, person=True)
    return _Ask(request.by, request.reason)


def _by_itself(case: Situation, policy: Retraining) -> Iterator[_Ask]:
    """Yield what asks without a request."""
    last = case.runs[-1] if case.runs else None
    rows = sum(arrival.rows for arrival in case.arrivals)
    if policy.rows is not None and case.arrivals and rows >= policy.rows:
        drops = ", ".join(arrival.drop for arrival in case.arrivals)
        told = f"drop {drops} was" if len(case.arrivals) == 1 else f"drops {drops} were"
        yield _Ask("data", f"{told} accepted: {rows:,} new rows", patient=False)
    if policy.outcomes is not None and case.outcomes >= policy.outcomes:
        yield _Ask("outcomes", f"{case.outcomes:,} outcomes came since the last run")
    if policy.project and last and last.project_version != case.project_version:
        why = f"project version {case.project_version} was published"
        yield _Ask("project", why, patient=False)
    quality = case.quality
    # What was seen before the last run began, that run was the answer to.
    if quality and (last is None or quality.at > last.started_at):
        for metric, limit in policy.metric.items():
            value = quality.numbers.get(metric)
            if value is None:
                continue  # unsure
            if value > limit if metric in _LESS_IS_BETTER else value < limit:
                yield _Ask("metric", f"live {metric} is {value:.4g}, worse than {limit:g}")


def _against(case: Situation, policy: Retraining, asks: list[_Ask]) -> _Against | None:
    flying = next((run for run in case.runs if run.status == "training"), None)
    if flying:
        return _Against("waiting", f"run {flying.run} is in flight; its end is waited for")
    ended = [(run.ended_at, run.run) for run in case.runs if run.ended_at]
    if ended and all(ask.patient for ask in asks):
        at, run = max(ended)
        until = at + timedelta(seconds=policy.cooldown)
        if case.now < until:
            cooldown = f"the cooldown of {in_words(policy.cooldown)} after run {run}"
            return _Against("waiting", f"{cooldown} lasts until {until:%Y-%m-%d %H:%M} UTC")
    if policy.budget and not any(ask.person for ask in asks):
        return _over_budget(case, policy.budget)
    return None


def _over_budget(case: Situation, budget: str) -> _Against | None:
    """Say that another run would cost more than a day may."""
    amount, unit = budget.removesuffix("/day").split()
    known = [run.seconds for run in case.runs if run.seconds is not None][-_USUAL_OF:]
    usual = median(known) if known else case.longest_seconds
    # Everything is one price times something, so only what a run weighs differs.
    price = USD_PER_HOUR[case.instance_type] / 3600 if unit == "USD" else 1.0

    def cost(seconds: float) -> float:
        return price * (seconds if unit == "USD" else 1.0)

    today = [r for r in case.runs if r.started_at.date() == case.now.date()]
    spent = sum(cost(usual if r.seconds is None else r.seconds) for r in today if r.is_paid)
    allowed = float(amount)
    if cost(usual) > allowed:
        told = f"one run is about {cost(usual):.2g} {unit}, more than retraining.budget: {budget}"
        return _Against("refused", told)
    if spent + cost(usual) > allowed:
        told = f"about {spent:.2g} {unit} of {budget} are spent; tomorrow (UTC) there is more"
        return _Against("waiting", told)
    return None
