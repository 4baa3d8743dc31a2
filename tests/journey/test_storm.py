"""500 objects in one burst end in one dataset version each once, none lost, none doubled."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from headrace_cli import drops
from tests.journey.conftest import Journey

pytestmark = pytest.mark.journey
OBJECTS = 500


def test_a_storm_of_objects(journey: Journey) -> None:
    """Invariants 1, 2 and 6, on the real queue, functions and state machine."""
    journey.publish()
    # Few columns: it is the number of objects that is tried here, not their inspection.
    files = journey.files(OBJECTS, query="select mean_radius, benign from sample")
    s3, bucket = journey.client("s3"), journey.session.stack.data_bucket
    manifest = drops.manifest_of(files)

    def put(name: str) -> None:
        s3.upload_file(str(files[name]), bucket, f"drops/{journey.model}/storm/{name}")

    # The manifest goes first: then it is the data that completes the drop, in whatever order.
    s3.put_object(
        Bucket=bucket,
        Key=f"drops/{journey.model}/storm/_manifest.json",
        Body=manifest.model_dump_json(exclude_none=True).encode(),
    )
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(put, files))
    drop = drops.wait_for_drop(journey.session, journey.model, "storm", timeout=180)

    assert drop.state == "accepted", drop.reasons
    assert drop.files == OBJECTS
    assert drop.rows == 569
    objects = journey.objects("storm")
    assert len(objects) == OBJECTS + 1
    assert {o.verdict for o in objects.values()} == {"accepted"}
    assert {o.dataset_version for o in objects.values()} == {drop.dataset_version}
    assert len(journey.executions("datasets")) == 1
    queue = journey.client("sqs").get_queue_attributes(
        QueueUrl=journey.session.stack.dead_letters["DropObjectsDeadLetters"],
        AttributeNames=["ApproximateNumberOfMessages"],
    )
    assert queue["Attributes"]["ApproximateNumberOfMessages"] == "0"
