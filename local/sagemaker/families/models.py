"""Models: an image, its data and a role."""

from __future__ import annotations

from local.sagemaker import events
from local.sagemaker.errors import invalid, not_implemented
from local.sagemaker.families.base import Family, operation
from local.sagemaker.families.registry import KIND as PACKAGE
from local.sagemaker.families.registry import specification_of
from local.sagemaker.resources import Kind, Resources
from local.sagemaker.store import Record


class Models(Family):
    """Models: the containers that an endpoint or a transform job starts."""

    kind = Kind(
        name="Model",
        slug="model",
        missing='Could not find model "{arn}".',
        duplicate='Cannot create already existing model "{arn}".',
        order="Descending",
    )

    def changed(self, record: Record) -> None:
        """Emit the model's creation."""
        self.context.cloud.emit(
            "SageMaker Model State Change", events.detail("Model", record), [record["ModelArn"]]
        )

    @operation
    def create_model(self, request: Record) -> Record:
        """Keep a model, with the container it will run as settled."""
        if ("PrimaryContainer" in request) == ("Containers" in request):
            raise invalid("Exactly one of PrimaryContainer and Containers must be provided.")
        given = request.get("Containers") or [request["PrimaryContainer"]]
        if "ExecutionRoleArn" not in request:
            raise invalid("ExecutionRoleArn must be provided.")
        containers = [settled for container in given for settled in self._settle(container)]
        if len(containers) > 1:
            containers = _named(containers)
        elif request.get("InferenceExecutionConfig", {}).get("Mode") == "Direct":
            raise invalid("InferenceExecutionConfig Direct needs at least two containers.")
        for container in containers:
            image = self.context.images.find(container["Image"])
            image.argv("serve")
            if container.get("Mode") == "MultiModel" and not image.multi_model:
                raise invalid(
                    f"Your Ecr Image {container['Image']} does not contain required "
                    "com.amazonaws.sagemaker.capabilities.multi-models=true Docker label(s). "
                    "(Locally: `multi_model: true` in its mapping, local/sagemaker/images.py.)"
                )
        self.context.assume(request["ExecutionRoleArn"], request["ModelName"])
        return self.resources.create(
            request["ModelName"], request, _container=containers[0], _containers=containers
        )

    def _settle(self, container: Record) -> list[Record]:
        """Return the containers that will run: their images, data and environments.

        A model package's own specification is copied, so that a later change of the package does
        not change the model.
        """
        if "AdditionalModelDataSources" in container:
            raise not_implemented("AdditionalModelDataSources")
        if "ModelPackageName" not in container:
            if "Image" not in container:
                raise invalid("A container needs an Image or a ModelPackageName.")
            return [_checked(container)]
        packages = Resources(PACKAGE, self.context.store, self.context.cloud)
        package = packages.get(container["ModelPackageName"])
        if package.get("ModelApprovalStatus", "Approved") != "Approved":
            raise invalid(
                f"The model package {package['ModelPackageArn']} must be approved before a model "
                f"can be created from it; it is {package['ModelApprovalStatus']}."
            )
        specification = specification_of(package, container.get("InferenceSpecificationName"))
        added = container.get("Environment", {})
        return [
            _checked({**packaged, "Environment": {**packaged.get("Environment", {}), **added}})
            for packaged in specification["Containers"]
        ]


def _checked(container: Record) -> Record:
    source = container.get("ModelDataSource", {}).get("S3DataSource")
    if source and "ModelDataUrl" in container:
        raise invalid("Only one of ModelDataUrl and ModelDataSource can be provided.")
    if container.get("Mode") == "MultiModel" and "ModelDataUrl" not in container:
        raise invalid(
            "A container of Mode MultiModel needs ModelDataUrl, the prefix of its models."
        )
    if source and (source["S3DataType"], source["CompressionType"]) not in (
        ("S3Prefix", "None"),
        ("S3Object", "Gzip"),
    ):
        raise not_implemented(
            f"ModelDataSource {source['S3DataType']} with compression {source['CompressionType']}"
        )
    return container


def _named(containers: list[Record]) -> list[Record]:
    """Return a pipeline's containers, each with a name of its own."""
    named = [
        {"ContainerHostname": f"container-{number}", **container}
        for number, container in enumerate(containers, 1)
    ]
    names = [container["ContainerHostname"] for container in named]
    if len(names) != len(set(names)):
        raise invalid("The ContainerHostname of every container of a model must be unique.")
    return named
