"""Processor and ScriptProcessor."""

import os
from pathlib import Path

from sagemaker.core.helper.session_helper import Session
from sagemaker.core.processing import Processor, ScriptProcessor
from sagemaker.core.s3 import S3Downloader, S3Uploader
from sagemaker.core.shapes import (
    ProcessingInput,
    ProcessingOutput,
    ProcessingS3Input,
    ProcessingS3Output,
)
from steps import step

ROLE, BUCKET = os.environ["ROLE"], os.environ["BUCKET"]
session = Session(default_bucket=BUCKET)
common = {
    "role": ROLE,
    "image_uri": "000000000000.dkr.ecr.us-east-1.amazonaws.com/conformance:1",
    "instance_count": 1,
    "instance_type": "ml.m5.large",
    "sagemaker_session": session,
}
Path("words.txt").write_text("sun and rain")
Path("count.py").write_text(
    """
import pathlib
words = pathlib.Path("/opt/ml/processing/input/words.txt").read_text().split()
pathlib.Path("/opt/ml/processing/output/count.txt").write_text(str(len(words)))
"""
)
S3Uploader.upload("words.txt", f"s3://{BUCKET}/sdk3-processing", sagemaker_session=session)
there = ProcessingInput(
    input_name="words",
    s3_input=ProcessingS3Input(
        s3_uri=f"s3://{BUCKET}/sdk3-processing/",
        local_path="/opt/ml/processing/input",
        s3_data_type="S3Prefix",
        s3_input_mode="File",
    ),
)
back = ProcessingOutput(
    output_name="out",
    s3_output=ProcessingS3Output(
        s3_uri=f"s3://{BUCKET}/sdk3-processed",
        local_path="/opt/ml/processing/output",
        s3_upload_mode="EndOfJob",
    ),
)

step("Processor.run, logs streamed")
Processor(**common).run(inputs=[there], outputs=[back], arguments=["--fast"])
assert S3Downloader.read_file(f"s3://{BUCKET}/sdk3-processed/words.txt", session) == "SUN AND RAIN"

step("ScriptProcessor.run of a script")
ScriptProcessor(command=["python3"], **common).run("count.py", inputs=[there], outputs=[back])
assert S3Downloader.read_file(f"s3://{BUCKET}/sdk3-processed/count.txt", session) == "3"
