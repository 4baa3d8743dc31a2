"""Multi-model endpoints: "Invoke a multi-model endpoint", "Contract for custom containers"."""

import asyncio
import json
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from local.sagemaker import SageMaker, ServiceError
from local.sagemaker.hosting.asking import Call
from local.sagemaker.hosting.multi_model import MultiModel
from local.sagemaker.hosting.replica import Serving
from local.sagemaker.processes import Command
from tests.local.conftest import wait_until
from tests.local.sagemaker.conftest import BUCKET, ROLE, SCRIPT, Clients, archive
from tests.local.sagemaker.modes import MODES, metric, model


def deploy(clients: Clients, name: str, setting: str = "Enabled", **environment: str) -> None:
    for text in ("a", "b", "c"):
        body = archive({"text": text})
        clients.s3.put_object(Bucket=BUCKET, Key=f"{name}/{text}.tar.gz", Body=body)
    container = {
        "Mode": "MultiModel",
        "ModelDataUrl": f"s3://{BUCKET}/{name}/",
        "MultiModelConfig": {"ModelCacheSetting": setting},
        "Environment": environment,
    }
    clients.config(name, ("main", model(clients, name, container), 1.0))
    assert clients.deploy(name, name)["EndpointStatus"] == "InService"


def test_models_are_loaded_when_asked_for(clients: Clients, unique: str) -> None:
    """Two stay in memory (HEADRACE_LOCAL_LOADED_MODELS); the one used least recently goes."""
    deploy(clients, unique)
    given = clients.ask(unique, TargetModel="a.tar.gz")
    assert (given["text"], given["target"], given["loaded"]) == ("a", "a.tar.gz", 1)
    assert clients.ask(unique, TargetModel="b.tar.gz")["loaded"] == 2
    assert clients.ask(unique, TargetModel="a.tar.gz")["text"] == "a"
    assert clients.ask(unique, TargetModel="c.tar.gz")["loaded"] == 2
    assert clients.ask(unique, TargetModel="a.tar.gz")["text"] == "a", "still there: b went"

    dimensions = {"EndpointName": unique, "VariantName": "main"}
    wait_until(
        lambda: metric(clients, "ModelCacheHit", **dimensions).get("SampleCount") == 5,
        what="ModelCacheHit",
    )
    assert metric(clients, "ModelCacheHit", **dimensions)["Sum"] == 2
    for name in ("ModelDownloadingTime", "ModelLoadingTime", "ModelLoadingWaitTime"):
        assert metric(clients, name, **dimensions)["SampleCount"] == 3, name
    counted = metric(clients, "LoadedModelCount", "/aws/sagemaker/Endpoints", **dimensions)
    assert counted["Maximum"] == 2

    with pytest.raises(ClientError, match="Failed to download model data") as refusal:
        clients.ask(unique, TargetModel="nothing.tar.gz")
    assert refusal.value.response["Error"]["Code"] == "ValidationError"
    with pytest.raises(ClientError, match="Target-Model is required"):
        clients.ask(unique)
    clients.delete(unique)


def test_a_container_without_memory(clients: Clients, unique: str) -> None:
    """507: a model that is not used makes room; without a cache none stays."""
    deploy(clients, unique, ROOM="1")
    for text in ("a", "b", "a"):
        given = clients.ask(unique, TargetModel=f"{text}.tar.gz")
        assert (given["text"], given["loaded"]) == (text, 1)
    clients.delete(unique)
    deploy(clients, f"{unique}-x", "Disabled")
    for text in ("a", "b", "a"):
        assert clients.ask(f"{unique}-x", TargetModel=f"{text}.tar.gz")["loaded"] == 1
    clients.delete(f"{unique}-x")


def test_a_model_that_is_not_ready_in_time(service: SageMaker, tmp_path: Path) -> None:
    """The caller is told to come back while loading goes on."""
    context = service._context
    context.processes.start()
    image = context.images.find(MODES)
    variables = {**image.variables(), "SAGEMAKER_BIND_TO_HOST": "127.0.0.1", "LOAD_SECONDS": "0.5"}

    def command(port: int) -> Command:
        bound = {**variables, "SAGEMAKER_BIND_TO_PORT": str(port)}
        return Command(image.argv("serve"), bound, tmp_path)

    log = context.logs.stream("group", "stream")
    serving = Serving(context.processes, command, log, stop_grace=1)
    many = MultiModel(serving, "primary", context, {}, {"ModelDataUrl": "s3://b/m/"}, tmp_path)
    fetched = tmp_path / "models" / many.name_of("a") / "model"
    fetched.mkdir(parents=True)
    (fetched / "text").write_text("loaded")

    async def converse() -> bytes:
        call = Call("e", {"x-amzn-sagemaker-target-model": "a"}, b"x", limit=0.2)
        with pytest.raises(ServiceError) as refusal:
            await many.answer(call)
        assert (refusal.value.code, refusal.value.status) == ("ModelNotReadyException", 429)
        call.limit = 5
        return (await many.answer(call)).body

    many.start()
    try:
        many.wait_ready(10)
        assert json.loads(asyncio.run(converse()))["text"] == "loaded"
    finally:
        many.kill()
        context.processes.close()


def test_images_that_cannot_hold_many_models(service: SageMaker) -> None:
    container = {"Mode": "MultiModel", "ModelDataUrl": "s3://b/models/"}
    request = {"ModelName": "m", "ExecutionRoleArn": ROLE}
    with pytest.raises(ServiceError, match="multi-models=true Docker label") as error:
        service.call("CreateModel", {**request, "PrimaryContainer": {**container, "Image": SCRIPT}})
    assert error.value.code == "ValidationException"
    with pytest.raises(ServiceError, match="needs ModelDataUrl"):
        service.call(
            "CreateModel", {**request, "PrimaryContainer": {"Mode": "MultiModel", "Image": MODES}}
        )
    service.call("CreateModel", {**request, "PrimaryContainer": {**container, "Image": MODES}})
    assert json.dumps(service.call("DescribeModel", {"ModelName": "m"})).count("MultiModel") == 1
