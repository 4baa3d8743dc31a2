"""Transformer: batch transform of a model, with join and filters; attach."""

import json
import os
from pathlib import Path

import sagemaker
from sagemaker.model import Model
from sagemaker.transformer import Transformer
from steps import step

ROLE, BUCKET = os.environ["ROLE"], os.environ["BUCKET"]
IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/conformance:1"
session = sagemaker.Session(default_bucket=BUCKET)
Path("rows.csv").write_text("1,2\n3,4\n")
rows = session.upload_data("rows.csv", key_prefix="sdk2-transform")


def output(transformer):
    return sagemaker.s3.S3Downloader.read_file(f"{transformer.output_path}/rows.csv.out", session)


step("Model.transformer; Transformer.transform with split_type Line, SingleRecord, logs streamed")
model = Model(
    IMAGE,
    f"s3://{BUCKET}/models/one.tar.gz",
    ROLE,
    name="sdk2-transform",
    sagemaker_session=session,
)
model.create(instance_type="ml.m5.large")
transformer = Transformer(
    "sdk2-transform",
    1,
    "ml.m5.large",
    strategy="SingleRecord",
    assemble_with="Line",
    accept="application/json",
    output_path=f"s3://{BUCKET}/sdk2-transform-output",
    sagemaker_session=session,
)
transformer.transform(rows, content_type="text/csv", split_type="Line")
transformer.wait()
answers = [json.loads(line) for line in output(transformer).splitlines()]
assert [answer["body"].strip() for answer in answers] == ["1,2", "3,4"], answers

step("Transformer.transform with join_source, input_filter, output_filter")
joined = Transformer(
    "sdk2-transform",
    1,
    "ml.m5.large",
    strategy="SingleRecord",
    assemble_with="Line",
    accept="application/jsonlines",
    output_path=f"s3://{BUCKET}/sdk2-transform-joined",
    sagemaker_session=session,
)
Path("lines.jsonl").write_text('{"a": 1, "b": 2}\n{"a": 3, "b": 4}\n')
joined.transform(
    session.upload_data("lines.jsonl", key_prefix="sdk2-transform-lines"),
    content_type="application/jsonlines",
    split_type="Line",
    input_filter="$.a",
    join_source="Input",
    output_filter="$['b','SageMakerOutput']",
    wait=True,
    logs=False,
)
text = sagemaker.s3.S3Downloader.read_file(f"{joined.output_path}/lines.jsonl.out", session)
assert '"b":2' in text.replace(" ", ""), text
assert '"model":"one"' in text.replace(" ", ""), text

step("Transformer.attach")
attached = Transformer.attach(transformer.latest_transform_job.name, session)
assert attached.output_path == transformer.output_path
