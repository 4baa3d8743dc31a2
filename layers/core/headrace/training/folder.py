"""Where the files of one run are kept."""

from typing import NamedTuple


class RunFolder(NamedTuple):
    """The folder of a run in the artifacts bucket; every name in it says who wrote it.

    `config/run.json`, `training.manifest` and `definition.json` come from the plan, `output/` and
    `checkpoints/` from SageMaker; the judge keeps here what it found in the job's output.
    """

    bucket: str
    model: str
    run: str

    def uri(self, name: str) -> str:
        """Return the S3 address of a file or folder of the run."""
        return f"s3://{self.bucket}/runs/{self.model}/{self.run}/{name}"

    @property
    def config(self) -> str:
        """What the container is told."""
        return self.uri("config/run.json")

    @property
    def manifest(self) -> str:
        """The files the container reads, named one by one."""
        return self.uri("training.manifest")

    @property
    def definition(self) -> str:
        """The project's model.yaml as it applied to this run."""
        return self.uri("definition.json")

    @property
    def evaluation(self) -> str:
        """What the job measured."""
        return self.uri("evaluation.json")

    @property
    def smoke(self) -> str:
        """Rows and the predictions an endpoint must give for them."""
        return self.uri("smoke.json")

    @property
    def baseline(self) -> str:
        """What the model's traffic is compared with; not there if an older image made the model.

        `statistics.json` and `constraints.json` beside it say it in Model Monitor's formats.
        """
        return self.uri("baseline.json")
