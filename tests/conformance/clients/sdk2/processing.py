"""Processor, ScriptProcessor and SKLearnProcessor."""

import os
from pathlib import Path

import sagemaker
from sagemaker.exceptions import UnexpectedStatusException
from sagemaker.processing import ProcessingInput, ProcessingOutput, Processor, ScriptProcessor
from sagemaker.sklearn.processing import SKLearnProcessor
from steps import step

ROLE, BUCKET = os.environ["ROLE"], os.environ["BUCKET"]
IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/conformance:1"
session = sagemaker.Session(default_bucket=BUCKET)
common = {
    "role": ROLE,
    "instance_count": 1,
    "instance_type": "ml.m5.large",
    "sagemaker_session": session,
}
Path("words.txt").write_text("sun and rain")
Path("count.py").write_text(
    """
import pathlib, sys
words = pathlib.Path("/opt/ml/processing/input/words.txt").read_text().split()
if "--fail" in sys.argv:
    sys.exit("no words wanted")
pathlib.Path("/opt/ml/processing/output/count.txt").write_text(f"{len(words)} {sys.argv[1:]}")
print("counted", len(words))
"""
)
there = ProcessingInput(source="words.txt", destination="/opt/ml/processing/input")
back = ProcessingOutput(output_name="out", source="/opt/ml/processing/output")


def output(processor, name):
    uri = processor.latest_job.outputs[0].destination
    return sagemaker.s3.S3Downloader.read_file(f"{uri}/{name}", session)


step("Processor.run with ProcessingInput from a file, ProcessingOutput, logs streamed")
processor = Processor(image_uri=IMAGE, **common)
processor.run(inputs=[there], outputs=[back], arguments=["--fast"])
assert output(processor, "words.txt") == "SUN AND RAIN"

step("Processor.latest_job.describe")
job = processor.latest_job.describe()
assert job["ProcessingJobStatus"] == "Completed"
assert job["AppSpecification"]["ContainerArguments"] == ["--fast"]

step("ScriptProcessor.run of a script")
script = ScriptProcessor(image_uri=IMAGE, command=["python3"], **common)
script.run("count.py", inputs=[there], outputs=[back], arguments=["--all"])
assert output(script, "count.txt") == "3 ['--all']"

step("a failing script raises UnexpectedStatusException")
try:
    script.run("count.py", inputs=[there], outputs=[back], arguments=["--fail"])
except UnexpectedStatusException as error:
    assert error.actual_status == "Failed", error
else:
    raise AssertionError("run did not raise")

step("SKLearnProcessor.run")
sklearn = SKLearnProcessor(framework_version="1.2-1", **common)
sklearn.run("count.py", inputs=[there], outputs=[back])
assert output(sklearn, "count.txt") == "3 []"
