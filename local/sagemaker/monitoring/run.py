"""What an execution of a monitoring schedule runs: its processing jobs, built as AWS builds them.

Environment: "Container Contract Inputs". Folders: endpoint data and reports lie below
`{endpoint}/{variant}/yyyy/mm/dd/hh` and `{endpoint}/{schedule}/yyyy/mm/dd/hh`.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local.sagemaker.errors import not_implemented
from local.sagemaker.monitoring.time import grouped, hours, iso
from local.sagemaker.store import Record
from local.sagemaker.transfer import S3

NO_DATA = "Job inputs had no data"
MERGED = ("ModelQuality", "ModelBias")
"""Types that join ground truth to the captured data first, in a job of its own."""
PREFIXES = {
    "DataQuality": "model-monitoring",
    "ModelQuality": "model-quality-monitoring",
    "ModelBias": "model-bias-monitoring",
    "ModelExplainability": "model-explainability-monitoring",
}
MERGE = "groundtruth-merge"
_INPUTS = 4  # folders of data in one job, which takes ten inputs in all
_BASELINE = "/opt/ml/processing/baseline"
_CODE = "/opt/ml/processing/code"
_TRUTH = "/opt/ml/processing/groundtruth"
_CONFIG = "/opt/ml/processing/input/config"
_MERGED_DATA = "/opt/ml/processing/output"
_CAPTURE = "sagemakerCaptureJson"
_INDICES = {
    "DataQuality": (_CAPTURE, ["endpointInput", "endpointOutput"]),
    "ModelQuality": ("sagemakerMergeJson", ["endpointOutput"]),
    "ModelBias": ("sagemakerMergeJson", ["endpointInput", "endpointOutput"]),
    "ModelExplainability": (_CAPTURE, ["endpointInput", "endpointOutput"]),
}
_ATTRIBUTES = {
    "FeaturesAttribute": "features_attribute",
    "InferenceAttribute": "inference_attribute",
    "ProbabilityAttribute": "probability_attribute",
    "ProbabilityThresholdAttribute": "probability_threshold_attribute",
    "ExcludeFeaturesAttribute": "exclude_features_attribute",
}


class NoDataError(Exception):
    """Nothing was captured in the window."""


@dataclass(frozen=True)
class Definition:
    """What to run, from a job definition of any type or from an inline one."""

    monitoring_type: str
    application: Record
    given: Record
    truth: str
    baseline: Record
    output: Record
    resources: Record
    role: str
    rest: Record
    """NetworkConfig and StoppingCondition, where they are given."""

    @classmethod
    def typed(cls, monitoring_type: str, record: Record) -> Definition:
        """Read a job definition of a type."""
        job_input = record[f"{monitoring_type}JobInput"]
        return cls(
            monitoring_type,
            record[f"{monitoring_type}AppSpecification"],
            _endpoint_input(job_input),
            job_input.get("GroundTruthS3Input", {}).get("S3Uri", ""),
            record.get(f"{monitoring_type}BaselineConfig", {}),
            record[f"{monitoring_type}JobOutputConfig"]["MonitoringOutputs"][0]["S3Output"],
            record["JobResources"],
            record["RoleArn"],
            _rest(record),
        )

    @classmethod
    def inline(cls, record: Record) -> Definition:
        """Read a MonitoringJobDefinition, which is about data quality."""
        application = {
            **record["MonitoringAppSpecification"],
            "Environment": record.get("Environment", {}),
        }
        return cls(
            "DataQuality",
            application,
            _endpoint_input(record["MonitoringInputs"][0]),
            "",
            record.get("BaselineConfig", {}),
            record["MonitoringOutputConfig"]["MonitoringOutputs"][0]["S3Output"],
            record["MonitoringResources"],
            record["RoleArn"],
            _rest(record),
        )

    @property
    def endpoint(self) -> str:
        """Name the endpoint whose data are monitored."""
        name: str = self.given["EndpointName"]
        return name

    @property
    def limit(self) -> int | None:
        """Return MaxRuntimeInSeconds, if it is given."""
        limit: int | None = self.rest.get("StoppingCondition", {}).get("MaxRuntimeInSeconds")
        return limit


def _endpoint_input(given: Record) -> Record:
    if "EndpointInput" not in given:
        raise not_implemented("Monitoring of batch transform jobs (BatchTransformInput)")
    source: Record = given["EndpointInput"]
    return source


def _rest(record: Record) -> Record:
    return {name: record[name] for name in ("NetworkConfig", "StoppingCondition") if name in record}


@dataclass(frozen=True)
class Run:
    """One execution: builds the requests of its jobs. `describe` is an operation of ours."""

    definition: Definition
    schedule: str
    key: str
    """What the names of its jobs end in."""
    scheduled: float
    begins: float
    ends: float
    describe: Callable[[str, Record], Record]
    s3: S3
    region: str

    def merge_request(self) -> Record:
        """Build the job that joins ground truth to the captured data. Raises NoDataError."""
        image = "sagemaker-model-monitor-groundtruth-merger"
        truth = self._existing(self.definition.truth.rstrip("/"), _TRUTH, [""], "groundtruth_input")
        data = self._existing(self._capture(), self._local, self._variants(), "endpoint_input")
        return self._request(
            MERGE,
            {"ImageUri": f"156813124566.dkr.ecr.{self.region}.amazonaws.com/{image}"},
            [*truth, *data],
            {"S3Uri": self._merge_uri, "LocalPath": _MERGED_DATA, "S3UploadMode": "EndOfJob"},
            {
                "dataset_source": self._local,
                "ground_truth_source": _TRUTH,
                "output_path": _MERGED_DATA,
            },
        )

    def monitor_request(self) -> Record:
        """Build the monitoring job. Raises NoDataError."""
        definition = self.definition
        capture = self._capture()
        source = (
            f"{self._merge_uri}/{definition.endpoint}"
            if definition.monitoring_type in MERGED
            else capture
        )
        inputs = self._existing(source, self._local, self._variants(), "endpoint_input")
        environment = self._contract(capture)
        for name, uri, folder, variable in self._files():
            inputs.append(_input(name, uri, folder))
            if variable:
                environment[variable] = f"{folder}/{uri.rsplit('/', 1)[-1]}"
        environment |= definition.application.get("Environment", {})
        when = dt.datetime.fromtimestamp(self.scheduled, dt.UTC)
        base = definition.output["S3Uri"].rstrip("/")
        reports = f"{base}/{definition.endpoint}/{self.schedule}/{when:%Y/%m/%d/%H}"
        return self._request(
            PREFIXES[definition.monitoring_type],
            {
                name: definition.application[name]
                for name in ("ImageUri", "ContainerEntrypoint", "ContainerArguments")
                if name in definition.application
            },
            inputs,
            {"S3UploadMode": "EndOfJob", **definition.output, "S3Uri": reports},
            environment,
        )

    def _contract(self, capture: str) -> dict[str, str]:
        """Return the environment that AWS documents, without the paths of files."""
        definition = self.definition
        form, indices = _INDICES[definition.monitoring_type]
        contract = {
            "dataset_format": json.dumps({form: {"captureIndexNames": indices}}),
            "dataset_source": self._local,
            "output_path": definition.output["LocalPath"],
            "publish_cloudwatch_metrics": "Enabled",
            "sagemaker_endpoint_name": definition.endpoint,
            "sagemaker_monitoring_schedule_name": self.schedule,
            "sagemaker_endpoint_datacapture_prefix": capture.rpartition("/")[0],
            "start_time": iso(self.begins),
            # Captured times are whole seconds: those of the last second began before its end.
            "end_time": iso(math.ceil(self.ends)),
            "metric_time": iso(self.begins),
            "monitoring_input_type": "ENDPOINT_INPUT",
        }
        if definition.monitoring_type != "DataQuality":
            words = definition.monitoring_type.removeprefix("Model").upper()
            contract["analysis_type"] = f"MODEL_{words}"
        if "ProblemType" in definition.application:
            contract["problem_type"] = definition.application["ProblemType"]
        for member, variable in _ATTRIBUTES.items():
            if member in definition.given:
                contract[variable] = str(definition.given[member])
        return contract

    def _files(self) -> list[tuple[str, str, str, str]]:
        """Return the single files a job is given: input name, URI, folder, variable."""
        application = self.definition.application
        before, after = f"{_CODE}/preprocessing", f"{_CODE}/postprocessing"
        script = application.get("RecordPreprocessorSourceUri")
        last = application.get("PostAnalyticsProcessorSourceUri")
        constraints, statistics = self._baseline("Constraints"), self._baseline("Statistics")
        files = [
            ("constraints", constraints, f"{_BASELINE}/constraints", "baseline_constraints"),
            ("baseline", statistics, f"{_BASELINE}/stats", "baseline_statistics"),
            ("pre_processor_script", script, before, "record_preprocessor_script"),
            ("post_processor_script", last, after, "post_analytics_processor_script"),
            ("analysis_config", application.get("ConfigUri"), _CONFIG, ""),
        ]
        return [(name, uri, folder, variable) for name, uri, folder, variable in files if uri]

    def _baseline(self, what: str) -> str | None:
        """Return where a baseline's file is: as given, or where the baselining job put it."""
        baseline = self.definition.baseline
        uri: str | None = baseline.get(f"{what}Resource", {}).get("S3Uri")
        if uri or "BaseliningJobName" not in baseline or f"{what}Resource" in baseline:
            return uri
        if what == "Statistics" and self.definition.monitoring_type != "DataQuality":
            return None
        name = {"ProcessingJobName": baseline["BaseliningJobName"]}
        outputs = self.describe("DescribeProcessingJob", name)["ProcessingOutputConfig"]["Outputs"]
        return f"{outputs[0]['S3Output']['S3Uri'].rstrip('/')}/{what.lower()}.json"

    @property
    def _local(self) -> str:
        local: str = self.definition.given["LocalPath"].rstrip("/")
        return local

    @property
    def _merge_uri(self) -> str:
        return f"{self.definition.output['S3Uri'].rstrip('/')}/merge"

    def _capture(self) -> str:
        """Return where the endpoint's captured data are. Raises NoDataError if it captures none."""
        endpoint = self.definition.endpoint
        described = self.describe("DescribeEndpoint", {"EndpointName": endpoint})
        capture = described.get("DataCaptureConfig")
        if not capture:
            raise NoDataError(f"{NO_DATA}: data capture is not enabled for endpoint {endpoint}")
        return f"{capture['DestinationS3Uri'].rstrip('/')}/{endpoint}"

    def _variants(self) -> list[str]:
        described = self.describe("DescribeEndpoint", {"EndpointName": self.definition.endpoint})
        return [variant["VariantName"] for variant in described["ProductionVariants"]]

    def _existing(self, uri: str, local: str, folders: list[str], name: str) -> list[Record]:
        """Return inputs of the window's hours that hold data, for each subfolder.

        Captured data lie under `{local}/{endpoint}/{variant}`, as the contract says.
        """
        top = f"{local}/{self.definition.endpoint}" if folders != [""] else local
        limit = max(1, _INPUTS // len(folders))
        paths = [
            f"{folder}/{hour}".lstrip("/")
            for folder in folders
            for hour in grouped(self._hours(f"{uri}/{folder}".rstrip("/")), limit)
        ]
        if not paths:
            raise NoDataError(NO_DATA)
        return [
            _input(f"{name}_{number}", f"{uri}/{path}", f"{top}/{path}")
            for number, path in enumerate(paths, 1)
        ]

    def _hours(self, uri: str) -> list[str]:
        """Return the window's hours that hold data below a folder."""
        wanted = hours(self.begins, self.ends)
        days = dict.fromkeys(hour.rpartition("/")[0] for hour in wanted)
        found = {
            f"{day}/{name.partition('/')[0]}"
            for day in days
            for name, _ in self.s3.objects(f"{uri}/{day}/")
        }
        return [hour for hour in wanted if hour in found]

    def _request(
        self,
        prefix: str,
        application: Record,
        inputs: list[Record],
        output: Record,
        environment: dict[str, Any],
    ) -> Record:
        return {
            "ProcessingJobName": f"{prefix}-{self.key}",
            "AppSpecification": application,
            "Environment": environment,
            "ProcessingInputs": inputs,
            "ProcessingOutputConfig": {"Outputs": [{"OutputName": "result", "S3Output": output}]},
            "ProcessingResources": self.definition.resources,
            "RoleArn": self.definition.role,
            **self.definition.rest,
        }


def _input(name: str, uri: str, local: str) -> Record:
    source = {
        "S3Uri": uri,
        "LocalPath": local,
        "S3DataType": "S3Prefix",
        "S3InputMode": "File",
        "S3DataDistributionType": "FullyReplicated",
        "S3CompressionType": "None",
    }
    return {"InputName": name, "AppManaged": False, "S3Input": source}
