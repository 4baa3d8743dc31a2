"""Transformer."""

import json
import os
from pathlib import Path

from sagemaker.core.helper.session_helper import Session
from sagemaker.core.resources import Model
from sagemaker.core.s3 import S3Downloader, S3Uploader
from sagemaker.core.shapes import ContainerDefinition
from sagemaker.core.transformer import Transformer
from steps import step

ROLE, BUCKET = os.environ["ROLE"], os.environ["BUCKET"]
session = Session(default_bucket=BUCKET)
Path("rows.csv").write_text("1,2\n3,4\n")

step("S3Uploader.upload; Transformer.transform; wait with logs")
rows = S3Uploader.upload("rows.csv", f"s3://{BUCKET}/sdk3-transform", sagemaker_session=session)
Model.create(
    model_name="sdk3-transform",
    primary_container=ContainerDefinition(
        image="000000000000.dkr.ecr.us-east-1.amazonaws.com/conformance:1",
        model_data_url=f"s3://{BUCKET}/models/one.tar.gz",
    ),
    execution_role_arn=ROLE,
)
transformer = Transformer(
    "sdk3-transform",
    1,
    "ml.m5.large",
    strategy="SingleRecord",
    assemble_with="Line",
    output_path=f"s3://{BUCKET}/sdk3-transform-output",
    sagemaker_session=session,
)
transformer.transform(rows, content_type="text/csv", split_type="Line", wait=True, logs=True)
text = S3Downloader.read_file(f"{transformer.output_path}/rows.csv.out", session)
assert [json.loads(line)["body"].strip() for line in text.splitlines()] == ["1,2", "3,4"], text

step("Transformer.attach")
name = transformer.latest_transform_job.transform_job_name
assert Transformer.attach(name, session).output_path == transformer.output_path
