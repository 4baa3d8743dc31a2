"""Models: an image, its data and a role."""

from __future__ import annotations

from local.sagemaker import events
from local.sagemaker.errors import invalid, not_implemented
from local.sagemaker.families.base import Family, operation
from local.sagemaker.families.registry import KIND as PACKAGE
from local.sagemaker.resources import Kind, Resources
from local.sagemaker.store import Record


class Models(Family):
    """Operations on models."""

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
        containers = request.get("Containers") or [request["PrimaryContainer"]]
        if len(containers) != 1:
            raise not_implemented("An inference pipeline of several containers")
        if "ExecutionRoleArn" not in request:
            raise invalid("ExecutionRoleArn must be provided.")
        container = self._settle(containers[0])
        self.context.images.find(container["Image"]).argv("serve")
        self.context.assume(request["ExecutionRoleArn"], request["ModelName"])
        return self.resources.create(request["ModelName"], request, _container=container)

    def _settle(self, container: Record) -> Record:
        """Return the container that will run: its image, data and environment.

        A model package's own specification is copied, so that a later change of the package does
        not change the model.
        """
        if container.get("Mode", "SingleModel") != "SingleModel":
            raise not_implemented("A multi-model container")
        if "AdditionalModelDataSources" in container:
            raise not_implemented("AdditionalModelDataSources")
        if "ModelPackageName" not in container:
            if "Image" not in container:
                raise invalid("A container needs an Image or a ModelPackageName.")
            return _checked(container)
        packages = Resources(PACKAGE, self.context.store, self.context.cloud)
        package = packages.get(container["ModelPackageName"])
        if package.get("ModelApprovalStatus", "Approved") != "Approved":
            raise invalid(
                f"The model package {package['ModelPackageArn']} must be approved before a model "
                f"can be created from it; it is {package['ModelApprovalStatus']}."
            )
        specification = package.get("InferenceSpecification")
        if not specification:
            raise invalid(f"{package['ModelPackageArn']} has no InferenceSpecification.")
        if len(specification["Containers"]) != 1:
            raise not_implemented("A model package of several containers")
        packaged = specification["Containers"][0]
        environment = {**packaged.get("Environment", {}), **container.get("Environment", {})}
        return _checked({**packaged, "Environment": environment})


def _checked(container: Record) -> Record:
    source = container.get("ModelDataSource", {}).get("S3DataSource")
    if source and "ModelDataUrl" in container:
        raise invalid("Only one of ModelDataUrl and ModelDataSource can be provided.")
    if source and (source["S3DataType"], source["CompressionType"]) not in (
        ("S3Prefix", "None"),
        ("S3Object", "Gzip"),
    ):
        raise not_implemented(
            f"ModelDataSource {source['S3DataType']} with compression {source['CompressionType']}"
        )
    return container
