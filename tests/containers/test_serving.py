"""The endpoint, spoken to over HTTP as SageMaker speaks to a container."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import socket
import subprocess
import threading
import time

import numpy as np
import pytest

from headrace_tabular.columns import read_parquet, take
from headrace_tabular.metrics import measure
from headrace_tabular.split import row_keys, share_of
from tests.containers import jobs
from tests.containers.conftest import FIRST, SECOND


def scores_of(answer: jobs.Answer) -> list[float]:
    assert answer.status == 200, answer.body
    return [one["score"] for one in answer.json["predictions"]]


def test_ping_is_empty_and_the_start_is_fast(endpoint):
    answer = endpoint.send("GET", "/ping")
    assert (answer.status, answer.body) == (200, b"")
    assert endpoint.seconds_to_ready < 10  # a bound for busy machines; about 1 s on a free one


def test_the_smoke_rows_give_the_expected_predictions(challenger, endpoint):
    smoke = challenger.smoke
    answer = endpoint.post({"instances": smoke["instances"]}, smoke["content_type"])
    found, expected = answer.json["predictions"], smoke["predictions"]
    assert len(found) == len(expected) == 20
    for one, other in zip(found, expected, strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=smoke["tolerance"])
        assert one["label"] == other["label"]
    assert answer.json["model"] == {"run": "run-2", "name": "credit-risk"}


def test_serving_answers_what_the_evaluation_measured(challenger, endpoint, tmp_path):
    """No skew: the held-out rows sent as raw parquet give the very metrics of evaluation.json."""
    table = read_parquet(FIRST + SECOND)
    held = share_of(row_keys(table.columns, "id", []), "headrace") < 0.2
    files = [str(file) for file in FIRST + SECOND]
    query = f"select * exclude (defaulted) from read_parquet({files})"
    body = jobs.parquet(tmp_path / "rows.parquet", query).read_bytes()
    answer = endpoint.post(body, "application/x-parquet", "application/jsonlines")
    assert answer.status == 200
    scores = np.array([json.loads(line)["score"] for line in answer.body.splitlines()])
    y = take(table.columns, held)["defaulted"]
    found = measure("binary", y, scores[held], challenger.contract["threshold"])
    assert found == pytest.approx(challenger.evaluation["candidate"]["metrics"], abs=1e-9)


def test_all_content_types_give_the_same_scores(challenger, endpoint):
    rows = challenger.smoke["instances"]
    names = [item["name"] for item in challenger.contract["inputs"]]
    expected = scores_of(endpoint.post({"instances": rows}))
    columns = {name: [row[name] for row in rows] for name in names}
    assert scores_of(endpoint.post({"columns": columns})) == expected
    assert scores_of(endpoint.post(rows)) == expected
    lines = "\n".join(json.dumps(row) for row in rows).encode()
    assert scores_of(endpoint.post(lines, "application/jsonlines")) == expected
    text = "\n".join(",".join(str(row[name]) for name in names) for row in rows)
    assert scores_of(endpoint.post(text.encode(), "text/csv")) == expected
    with_header = f"{','.join(names)}\n{text}\n".encode()
    answer = endpoint.post(with_header, "text/csv", "text/csv")
    assert [float(line.split(b",")[0]) for line in answer.body.splitlines()] == expected


def test_one_row_scores_alone_as_it_does_among_others(challenger, endpoint):
    rows = challenger.smoke["instances"]
    together = scores_of(endpoint.post(rows))
    assert [scores_of(endpoint.post(row))[0] for row in rows] == together


def test_unseen_categories_and_nulls_are_answered(challenger, endpoint):
    row = challenger.smoke["instances"][0]
    unseen = row | {"salary_range": "1M+ €", "size_of_downpayment": None}
    scores = scores_of(endpoint.post([unseen, dict.fromkeys(row)]))
    assert all(0 < score < 1 for score in scores)


def test_a_column_that_is_missing_is_named_with_what_to_send(challenger, endpoint):
    row = dict(challenger.smoke["instances"][0])
    del row["car_value"]
    answer = endpoint.post({"instances": [row]})
    assert answer.status == 400
    assert "missing columns ['car_value']" in answer.json["error"]
    assert "send [" in answer.json["error"]


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("GET", "/invocations", None, {}, 405),
        ("POST", "/ping", b"", {}, 405),
        ("GET", "/", None, {}, 404),
        ("POST", "/invocations", b"{", {"Content-Type": "application/json"}, 400),
        ("POST", "/invocations", b"PAR1", {"Content-Type": "application/x-parquet"}, 400),
        ("POST", "/invocations", b"x", {"Content-Type": "image/png"}, 415),
        ("POST", "/invocations", bytes(7 * 1024**2), {"Content-Type": "text/csv"}, 413),
    ],
)
def test_what_cannot_be_answered_says_why_and_the_server_goes_on(
    endpoint, method, path, body, headers, status
):
    answer = endpoint.send(method, path, body, headers)
    assert answer.status == status
    assert answer.json["error"]
    assert ("allow" in answer.headers) == (status == 405)
    assert endpoint.send("GET", "/ping").status == 200


def test_an_answer_in_another_format_is_406(challenger, endpoint):
    row = challenger.smoke["instances"][0]
    assert endpoint.post(row, accept="image/png").status == 406


def test_a_body_without_length_stops_at_the_limit(endpoint):
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=30)
    chunks = (bytes(1024**2) for _ in range(7))
    connection.request(
        "POST", "/invocations", chunks, {"Content-Type": "text/csv"}, encode_chunked=True
    )
    assert connection.getresponse().status == 413


def test_sigterm_finishes_the_request_that_is_being_answered(challenger):
    with jobs.serving(challenger.base) as endpoint:
        rows = json.dumps({"instances": challenger.smoke["instances"]}).encode()
        head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: {len(rows)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", endpoint.port), timeout=30) as client:
            client.sendall(head.encode() + rows[:100])
            endpoint.send("GET", "/ping")  # the server has read what was sent before
            endpoint.process.send_signal(signal.SIGTERM)
            wait_until_refused(endpoint.port)
            client.sendall(rows[100:])
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200")
        assert b'"predictions"' in answer
        endpoint.process.wait(timeout=10)


def wait_until_refused(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except (ConnectionRefusedError, ConnectionResetError):
            return
    raise AssertionError("the server still listens after SIGTERM")


SERVING = """
import json, time

def input_fn(body, content_type):
    return json.loads(body)["seconds"]

def predict_fn(data, model):
    if data is None:
        raise ValueError("no seconds")
    time.sleep(data)
    return {"slept": data, "run": model.contract["run"]}

def output_fn(prediction, accept):
    return json.dumps(prediction), "application/x-slept"
"""


@pytest.fixture
def custom(minimal, tmp_path):
    """The minimal model with serving code of its own, on XGBoost itself."""
    shutil.copytree(minimal.model, tmp_path / "model")
    contract = minimal.contract
    contract["code"]["serving"] = "serving.py"
    contract["onnx"]["used"] = False
    (tmp_path / "model" / "model.onnx").unlink()
    (tmp_path / "model" / "model.json").write_text(json.dumps(contract))
    jobs.write(tmp_path / "model" / "code" / "serving.py", SERVING)
    with jobs.serving(tmp_path) as endpoint:
        yield endpoint


def test_the_users_serving_code_replaces_any_step(custom):
    answer = custom.post({"seconds": 0})
    assert (answer.status, answer.json) == (200, {"slept": 0, "run": "run-1"})
    assert answer.headers["content-type"] == "application/x-slept"
    failed = custom.post({"seconds": None})
    assert failed.status == 500
    assert "serving.py at line 9: ValueError: no seconds" in failed.json["error"]
    explain = {"X-Amzn-SageMaker-Custom-Attributes": "headrace-explain"}
    refused = custom.send("POST", "/invocations", b'{"seconds": 0}', explain)
    assert (refused.status, "not explained" in refused.json["error"]) == (400, True)
    # A large request is answered in a thread: the ping of SageMaker does not wait for it.
    slow = json.dumps({"seconds": 1.5, "padding": "x" * 100_000}).encode()
    thread = threading.Thread(target=custom.post, args=[slow])
    thread.start()
    start = time.monotonic()
    assert custom.send("GET", "/ping").status == 200
    assert time.monotonic() - start < 1
    assert thread.is_alive()
    thread.join()


def test_xgboost_itself_serves_what_onnx_does(minimal, tmp_path):
    shutil.copytree(minimal.model, tmp_path / "model")
    contract = minimal.contract
    contract["onnx"]["used"] = False
    (tmp_path / "model" / "model.json").write_text(json.dumps(contract))
    smoke = minimal.smoke
    with jobs.serving(tmp_path) as endpoint:
        found = scores_of(endpoint.post(smoke["instances"]))
    expected = [one["score"] for one in smoke["predictions"]]
    assert found == pytest.approx(expected, abs=1e-5)


def test_a_folder_that_is_no_model_does_not_serve(tmp_path):
    (tmp_path / "model").mkdir()
    done = subprocess.run(
        [jobs.PYTHON, "-m", "headrace_tabular.serve"],
        env=jobs.environment(tmp_path) | {"SAGEMAKER_BIND_TO_HOST": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1
    assert "the model cannot be served" in done.stderr
    assert "Traceback" not in done.stderr
