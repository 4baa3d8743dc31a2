"""Metrics that a monitoring container leaves for CloudWatch.

It writes JSON lines below /opt/ml/output/metrics/cloudwatch ("CloudWatch metrics", bring your own
container); SageMaker adds the namespace, which depends on the monitoring type.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

from local.sagemaker.context import Context
from local.sagemaker.transfer import regular_files

_NAMESPACES = {
    "DataQuality": "aws/sagemaker/Endpoints/data-metrics",
    "ModelQuality": "aws/sagemaker/Endpoints/model-metrics",
    "ModelBias": "aws/sagemaker/Endpoints/bias-metrics",
    "ModelExplainability": "aws/sagemaker/Endpoints/explainability-metrics",
}
logger = logging.getLogger(__name__)


def publish(context: Context, monitoring_type: str, job: str) -> None:
    """Publish what a job that is about to end has left in its tree; lines that are odd are told."""
    tree = context.state / "processing-job" / job
    for folder in (tree, *tree.glob("*")):  # with several instances each has its own
        target = folder / "output" / "metrics" / "cloudwatch"
        for file in [target] if target.is_file() else regular_files(target):
            _publish_file(context, _NAMESPACES[monitoring_type], file)


def _publish_file(context: Context, namespace: str, file: Path) -> None:
    data = []
    for line in file.read_text(errors="replace").splitlines():
        try:
            datum = json.loads(line)
            if "MetricName" in datum and ("Value" in datum or "StatisticValues" in datum):
                data.append(datum)
        except (ValueError, TypeError):
            logger.warning("not a metric: %s", line[:200])
    if data:
        context.cloud.put_metric_data(namespace, data)
