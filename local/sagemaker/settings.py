"""Settings of the local SageMaker, read once from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Settings:
    """Limits and times; the defaults are AWS's where AWS documents one. Times are in seconds."""

    jobs: int = 2
    """HEADRACE_LOCAL_JOBS: jobs that run at once (default: the cores); others wait in Starting."""
    job_instances: int = 8
    """HEADRACE_LOCAL_JOB_INSTANCES: the most instances of one job, as a service quota."""
    instances: int = 8
    """HEADRACE_LOCAL_INSTANCES: serving processes of one endpoint."""
    stop_grace: float = 120.0
    """HEADRACE_LOCAL_STOP_GRACE: between a job's SIGTERM and its SIGKILL (API_StopTrainingJob)."""
    sync_interval: float = 2.0
    """HEADRACE_LOCAL_SYNC_INTERVAL: between two uploads of checkpoints and continuous outputs."""
    spot_price: float = 0.3
    """HEADRACE_LOCAL_SPOT_PRICE: what a second on spot is billed as, of one."""
    serve_stop_grace: float = 30.0
    """HEADRACE_LOCAL_SERVE_STOP_GRACE: the same for a serving container."""
    ping_timeout: float = 240.0
    """HEADRACE_LOCAL_PING_TIMEOUT: how long a serving container may take to answer /ping."""
    ping_interval: float = 10.0
    """HEADRACE_LOCAL_PING_INTERVAL: between two pings of a container that serves; it is replaced
    after three failures in a row."""
    bake_scale: float = 1.0
    """HEADRACE_LOCAL_BAKE_SCALE: what a second of a deployment's bake lasts."""
    invocation_timeout: float = 60.0
    """HEADRACE_LOCAL_INVOCATION_TIMEOUT: how long a container may take to answer a request."""
    capture_interval: float = 1.0
    """HEADRACE_LOCAL_CAPTURE_INTERVAL: between two deliveries of captured requests to S3."""
    metrics_interval: float = 2.0
    """HEADRACE_LOCAL_METRICS_INTERVAL: between two deliveries of an endpoint's metrics."""
    offline_interval: float = 5.0
    """HEADRACE_LOCAL_OFFLINE_INTERVAL: between two deliveries to offline feature stores."""
    serverless_idle: float = 300.0
    """HEADRACE_LOCAL_SERVERLESS_IDLE: after which a serverless variant's process is taken down."""
    loaded_models: int = 8
    """HEADRACE_LOCAL_LOADED_MODELS: models that a multi-model container holds in memory."""
    async_concurrency: int = 4
    """HEADRACE_LOCAL_ASYNC_CONCURRENCY: asynchronous requests at once per instance, unless the
    endpoint says (AWS then "chooses an optimal value")."""
    monitoring_hour: float = 3600.0
    """HEADRACE_LOCAL_MONITORING_HOUR: what an hour of a monitoring schedule lasts."""
    monitoring_delay: float = 1200.0
    """HEADRACE_LOCAL_MONITORING_DELAY: how late, at most, a scheduled run starts (as on AWS)."""
    archive_bytes: int = 20 * 2**30
    """HEADRACE_LOCAL_ARCHIVE_BYTES: what a model archive may hold unpacked."""
    opt_ml: bool = True
    """HEADRACE_LOCAL_OPT_ML=0 never mounts /opt/ml; containers then need SAGEMAKER_BASE_DIR."""
    images: tuple[Path, ...] = (REPOSITORY / "local" / "images.yaml",)
    """HEADRACE_LOCAL_IMAGES: a mapping file read before local/images.yaml."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read the HEADRACE_LOCAL_* variables."""

        def number(name: str, default: float) -> float:
            return float(environ.get(f"HEADRACE_LOCAL_{name}", default))

        extra = environ.get("HEADRACE_LOCAL_IMAGES")
        return cls(
            jobs=int(number("JOBS", os.cpu_count() or cls.jobs)),
            job_instances=int(number("JOB_INSTANCES", cls.job_instances)),
            instances=int(number("INSTANCES", cls.instances)),
            stop_grace=number("STOP_GRACE", cls.stop_grace),
            sync_interval=number("SYNC_INTERVAL", cls.sync_interval),
            spot_price=number("SPOT_PRICE", cls.spot_price),
            serve_stop_grace=number("SERVE_STOP_GRACE", cls.serve_stop_grace),
            ping_timeout=number("PING_TIMEOUT", cls.ping_timeout),
            ping_interval=number("PING_INTERVAL", cls.ping_interval),
            bake_scale=number("BAKE_SCALE", cls.bake_scale),
            invocation_timeout=number("INVOCATION_TIMEOUT", cls.invocation_timeout),
            capture_interval=number("CAPTURE_INTERVAL", cls.capture_interval),
            metrics_interval=number("METRICS_INTERVAL", cls.metrics_interval),
            offline_interval=number("OFFLINE_INTERVAL", cls.offline_interval),
            serverless_idle=number("SERVERLESS_IDLE", cls.serverless_idle),
            loaded_models=int(number("LOADED_MODELS", cls.loaded_models)),
            async_concurrency=int(number("ASYNC_CONCURRENCY", cls.async_concurrency)),
            monitoring_hour=number("MONITORING_HOUR", cls.monitoring_hour),
            monitoring_delay=number("MONITORING_DELAY", cls.monitoring_delay),
            archive_bytes=int(number("ARCHIVE_BYTES", cls.archive_bytes)),
            opt_ml=environ.get("HEADRACE_LOCAL_OPT_ML", "1") != "0",
            images=((Path(extra),) if extra else ()) + cls.images,
        )
