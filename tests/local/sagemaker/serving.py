"""Endpoints of a service in this process, asked and watched; deployment configs."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from local.sagemaker import SageMaker
from tests.local.conftest import wait_until
from tests.local.sagemaker.conftest import ROLE, SCRIPT, MemoryCloud

TEN = {"Type": "CAPACITY_PERCENT", "Value": 10}
HALF = {"Type": "CAPACITY_PERCENT", "Value": 50}


class Endpoints:
    """A started service, with models that say their name and endpoints of them."""

    def __init__(self, service: SageMaker, cloud: MemoryCloud) -> None:
        self.service, self.cloud = service, cloud
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def close(self) -> None:
        self.service.close()
        self._loop.call_soon_threadsafe(self._loop.stop)

    def config(self, name: str, *variants: str, instances: int = 1, **environment: str) -> str:
        """A config whose variants answer with its name, unless TEXT says another."""
        environment = {"TEXT": name, **environment}
        model = {"ExecutionRoleArn": ROLE}
        container = {"Image": SCRIPT, "Environment": environment}
        self.service.call(
            "CreateModel", {"ModelName": name, **model, "PrimaryContainer": container}
        )
        self.service.call(
            "CreateEndpointConfig",
            {
                "EndpointConfigName": name,
                "ProductionVariants": [
                    {
                        "VariantName": variant,
                        "ModelName": name,
                        "InitialInstanceCount": instances,
                        "InstanceType": "ml.m5.large",
                    }
                    for variant in variants or ["main"]
                ],
            },
        )
        return name

    def create(self, name: str, config: str) -> dict[str, Any]:
        self.service.call("CreateEndpoint", {"EndpointName": name, "EndpointConfigName": config})
        return self.settled(name)

    def update(self, name: str, config: str, **more: Any) -> None:
        request = {"EndpointName": name, "EndpointConfigName": config, **more}
        self.service.call("UpdateEndpoint", request)

    def weigh(self, name: str, *wanted: dict[str, Any]) -> None:
        self.service.call(
            "UpdateEndpointWeightsAndCapacities",
            {"EndpointName": name, "DesiredWeightsAndCapacities": list(wanted)},
        )

    def describe(self, name: str) -> dict[str, Any]:
        return self.service.call("DescribeEndpoint", {"EndpointName": name})

    def settled(self, name: str) -> dict[str, Any]:
        def settled() -> dict[str, Any] | None:
            endpoint = self.describe(name)
            return endpoint if not endpoint["EndpointStatus"].endswith("ing") else None

        return wait_until(settled, what=f"{name} to settle")

    def baking(self, name: str, stage: str) -> dict[str, Any]:
        """Wait until an update bakes; return the variant's summary."""

        def baking() -> dict[str, Any] | None:
            endpoint = self.describe(name)
            pending = endpoint.get("PendingDeploymentSummary")
            assert pending, f"settled before baking: {endpoint}"
            [variant] = pending["ProductionVariants"]
            [status] = variant["VariantStatus"]
            is_it = status["Status"] == "Baking" and stage in status["StatusMessage"]
            return variant if is_it else None

        return wait_until(baking, what=f"{name} to bake on {stage}")

    def request(self, name: str, body: str = "x", **headers: str) -> tuple[int, Any]:
        """Invoke an endpoint; return the status and the answer."""
        handled = self.service.handle(
            "POST",
            f"/endpoints/{name}/invocations",
            {"content-type": "text/csv", **headers},
            body.encode(),
        )
        status, _, content = asyncio.run_coroutine_threadsafe(handled, self._loop).result(60)
        return status, json.loads(content)

    def sample(self, name: str, count: int = 60) -> list[dict[str, Any]]:
        return [self.request(name)[1] for _ in range(count)]

    def shares(self, name: str, count: int = 60) -> Counter[str]:
        return Counter(answer["text"] for answer in self.sample(name, count))

    @contextmanager
    def load(self, name: str) -> Iterator[list[tuple[int, str]]]:
        """Ask from four threads; what was answered is there in the end."""
        answers: list[tuple[int, str]] = []
        over = threading.Event()

        def ask() -> None:
            while not over.is_set():
                status, answer = self.request(name)
                answers.append((status, answer.get("text", str(answer))))

        with ThreadPoolExecutor(4) as pool:
            askers = [pool.submit(ask) for _ in range(4)]
            try:
                yield answers
            finally:
                over.set()
        for asker in askers:
            asker.result()

    def statuses(self, name: str) -> list[tuple[str, str]]:
        """The pending variants' statuses that events told, each once."""
        told: list[tuple[str, str]] = []
        for kind, detail, _ in self.cloud.events:
            is_deployment = kind == "SageMaker Endpoint Deployment State Change"
            if not is_deployment or detail["EndpointName"] != name:
                continue
            assert detail["EndpointStatus"] == "UPDATING"
            variants = detail["PendingDeploymentSummary"]["ProductionVariants"]
            status = variants[0]["VariantStatus"][0]
            shown = (status["Status"], status["StatusMessage"])
            if shown not in told[-1:]:
                told.append(shown)
        return told


def blue_green(kind: str, wait: int, end: int, **sizes: Any) -> dict[str, Any]:
    routing = {"Type": kind, "WaitIntervalInSeconds": wait, **sizes}
    policy = {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": end}
    return {"BlueGreenUpdatePolicy": policy}


def rolling(wait: int, **more: Any) -> dict[str, Any]:
    policy = {"MaximumBatchSize": HALF, "WaitIntervalInSeconds": wait, **more}
    return {"RollingUpdatePolicy": policy}
