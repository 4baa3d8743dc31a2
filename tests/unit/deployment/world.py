"""The deployment machine's part about one endpoint, one step at a time."""

import itertools

from headrace.aws.endpoints import (
    Deployer,
    DeployRequest,
    EndpointRequest,
    deploy_endpoint,
    find_endpoint,
    resume_deployment,
    succeed,
)
from headrace.aws.ledger import Ledger
from headrace.aws.storage import Storage
from headrace.aws.verification import VerifyRequest, VerifyVerdict, verify_endpoint
from headrace.errors import DeploymentError
from headrace.records import DeploymentRecord, EndpointRecord, Key, model_partition, now
from tests.unit import world
from tests.unit.deployment.endpoints import Endpoint, Runtime, Tokens
from tests.unit.world import MODEL

ENDPOINT = "headrace-credit-risk"
SMOKE = {
    "instances": [{"age": 40}],
    "predictions": [{"score": 0.25, "label": 0}],
    "tolerance": 1e-6,
}


class Deployments:
    """The deployment machine's part about the endpoint, one step at a time."""

    def __init__(self, ledger: Ledger, storage: Storage) -> None:
        self.ledger = ledger
        self.endpoint = Endpoint()
        self.tokens = Tokens()
        self.runtime = Runtime(SMOKE["predictions"])  # type: ignore[arg-type]
        self.aws = Deployer(world.settings(), ledger, storage, self.endpoint)
        self._token = itertools.count()

    def approve(self, version: int) -> EndpointRequest:
        """What CheckPackage leaves behind for an approved version."""
        target = EndpointRequest(
            model=MODEL,
            deployment=f"v{version}",
            execution=f"arn:execution:{version}",
            fence=0,
            endpoint=ENDPOINT,
            endpoint_config=f"config-v{version}",
            package_arn=f"arn:package/{version}",
            package_version=version,
            run="run",
        )
        self.ledger.put(
            DeploymentRecord(
                model=MODEL,
                deployment=target.deployment,
                status="deploying",
                endpoint=ENDPOINT,
                package_arn=target.package_arn,
                package_version=version,
                execution_arn=target.execution,
                cause="approved",
                started_at="2026-11-22T07:00:00.000Z",
            )
        )
        return target

    def lock(self, target: EndpointRequest) -> EndpointRequest | None:
        """What LockEndpoint does: the target with its lock's number, or None while it waits."""
        found = find_endpoint(self.ledger, ENDPOINT)
        record = found or EndpointRecord(model=MODEL, endpoint=ENDPOINT)
        ours = record.lock_owner in (None, target.execution)
        if not ours and (record.lock_until or "") > now():
            return None
        fence = record.fence + 1
        locked = {"lock_owner": target.execution, "lock_deployment": target.deployment}
        cleared = {"waiting_config": None, "waiting_since": None, "task_token": None}
        until = {"lock_until": "9999-01-01T00:00:00.000Z", "fence": fence}
        self.ledger.put(record.model_copy(update={**locked, **cleared, **until}))
        return target.model_copy(update={"fence": fence})

    def unlock(self, target: EndpointRequest) -> None:
        """What UnlockEndpoint does."""
        changes = {"lock_owner": None, "lock_deployment": None, "lock_until": None}
        key = Key(pk="endpoints", sk=ENDPOINT)
        self.ledger.update(key, changes, {"lock_owner": target.execution})

    def expire(self) -> None:
        """The owner of the lock is dead, or slower than its lease."""
        key = Key(pk="endpoints", sk=ENDPOINT)
        self.ledger.update(key, {"lock_until": "2026-01-01T00:00:00.000Z"})

    def begin(self, version: int) -> EndpointRequest:
        """Approve, and get the lock."""
        locked = self.lock(self.approve(version))
        assert locked is not None
        return locked

    def attempt(self, target: EndpointRequest) -> str:
        """Run DeployEndpoint as the state machine does: with a new token each time."""
        token = f"token-{next(self._token)}"
        self.tokens.open.add(token)
        request = DeployRequest(target=target, task_token=token)
        try:
            outcome = deploy_endpoint(request, self.aws)
        except DeploymentError:
            self.tokens.open.discard(token)
            raise
        if outcome:
            succeed(self.tokens, token, outcome)
        return token

    def event(self) -> str | None:
        return resume_deployment(ENDPOINT, self.ledger, self.endpoint, self.tokens)

    def verify(self, target: EndpointRequest) -> VerifyVerdict:
        return verify_endpoint(VerifyRequest(target=target), self.aws, self.runtime)

    def serve(self, version: int) -> EndpointRequest:
        """Deploy a version, from its approval to its verdict."""
        target = self.begin(version)
        self.attempt(target)
        self.endpoint.settle(well=True)
        self.event()
        assert self.verify(target).outcome == "live"
        self.unlock(target)
        return target

    def fail(self, target: EndpointRequest) -> None:
        """What RecordFailure does."""
        self.ledger.update(self.record(target).key(), {"status": "failed"}, {"status": "deploying"})

    def record(self, target: EndpointRequest) -> DeploymentRecord:
        key = Key(pk=model_partition(MODEL), sk=f"deployment#{target.deployment}")
        found = self.ledger.get(DeploymentRecord, key)
        assert found is not None
        return found
