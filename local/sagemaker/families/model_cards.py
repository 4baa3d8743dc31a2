"""Model cards: content held to AWS's published schema, in versions, with a status."""

from __future__ import annotations

import functools
import json
import time
from pathlib import Path
from typing import Any

from local.sagemaker import events
from local.sagemaker.errors import ServiceError, invalid
from local.sagemaker.families.base import Family, operation
from local.sagemaker.resources import Kind, paginate
from local.sagemaker.store import Record

_SCHEMA = Path(__file__).parents[1] / "model_card_schema.json"
_VERSION = "ModelCardVersion"  # the kind of the records that keep each version
_VERSIONED = ("Content", "ModelCardStatus", "CreationTime", "LastModifiedTime")
# What is left of a card's content for those who may not decrypt it (API_DescribeModelCard).
_METADATA = {
    "model_overview": ("model_id", "model_name"),
    "intended_uses": ("risk_rating",),
    "model_package_details": ("model_package_group_name", "model_package_arn"),
}


class ModelCards(Family):
    """Model cards and their versions.

    A record is of the latest version.
    """

    kind = Kind(
        name="ModelCard",
        slug="model-card",
        missing="Could not find model card {arn}.",
        missing_code="ResourceNotFound",
        duplicate="Model card with name {name} already exists.",
        duplicate_code="ConflictException",
        status="ModelCardStatus",
    )

    def changed(self, record: Record) -> None:
        """Emit the card's state."""
        self.context.cloud.emit(
            "SageMaker Model Card State Change",
            events.detail("ModelCard", record),
            [record["ModelCardArn"]],
        )

    @operation
    def create_model_card(self, request: Record) -> Record:
        """Make the first version of a card."""
        check_content(request["Content"], "model_card")
        card = self.resources.create(
            request["ModelCardName"], request, ModelCardVersion=1, CreatedBy={}
        )
        self._keep(card)
        return card

    @operation
    def update_model_card(self, request: Record) -> Record:
        """Make another version by new content, or change the status of the latest."""
        if ("Content" in request) == ("ModelCardStatus" in request):
            raise invalid("Exactly one of Content and ModelCardStatus can be updated in a call.")
        name = self.resources.name(request["ModelCardName"])
        if "Content" in request:
            check_content(request["Content"], "model_card")

        def change(record: Record) -> None:
            if "ModelCardStatus" in request:
                record.update(ModelCardStatus=request["ModelCardStatus"])
            elif record["ModelCardStatus"] == "Archived":
                raise ServiceError("ConflictException", f"Model card {name} is archived.")
            else:
                version = record["ModelCardVersion"] + 1
                record.update(Content=request["Content"], ModelCardVersion=version)
                record["_since"] = time.time()
            record["LastModifiedBy"] = {}

        card = self.resources.update(name, change)
        self._keep(card)
        return card

    @operation
    def describe_model_card(self, request: Record) -> Record:
        """Describe a card, the latest version unless another is named."""
        card = self.resources.get(request["ModelCardName"])
        number = request.get(_VERSION, card[_VERSION])
        version = self.context.store.get(_VERSION, f"{card['ModelCardName']}/{number}")
        if version is None:
            name = card["ModelCardName"]
            message = f"Could not find version {number} of model card {name}."
            raise ServiceError("ResourceNotFound", message)
        if request.get("IncludedData") == "MetadataOnly":
            version["Content"] = _metadata(version["Content"])
        return {**card, **version}

    @operation
    def list_model_card_versions(self, request: Record) -> Record:
        """List a card's versions, newest first unless asked otherwise."""
        card = self.resources.get(request["ModelCardName"])
        rows = [row for row in self._versions(card) if _matches(row, request)]
        newest_first = request.get("SortOrder", "Descending") == "Descending"
        page, token = paginate(rows, request, lambda row: [row[_VERSION]], newest_first)
        return {"ModelCardVersionSummaryList": page, **({"NextToken": token} if token else {})}

    @operation
    def delete_model_card(self, request: Record) -> None:
        """Remove a card with all its versions."""
        with self.context.store.lock:
            card = self.resources.delete(request["ModelCardName"])
            for version in self._versions(card):
                self.context.store.delete(_VERSION, f"{card['ModelCardName']}/{version[_VERSION]}")

    def _versions(self, card: Record) -> list[Record]:
        arn = card["ModelCardArn"]
        return [row for row in self.context.store.all(_VERSION) if row["ModelCardArn"] == arn]

    def _keep(self, card: Record) -> None:
        """Write down the latest version, in place of what there was of it."""
        number = card[_VERSION]
        version = {
            key: card[key] for key in (_VERSION, "ModelCardName", "ModelCardArn", *_VERSIONED)
        }
        version["CreationTime"] = card.get("_since", card["CreationTime"])
        name, arn = f"{card['ModelCardName']}/{number}", f"{card['ModelCardArn']}/{number}"
        if self.context.store.update(_VERSION, name, lambda record: record.update(version)) is None:
            self.context.store.insert(_VERSION, name, arn, version)


def check_content(content: str, kind: str) -> None:
    """Refuse content that is not JSON, or not as the schema of `kind` says.

    `kind` is `model_card` or `package_card`, the simplified card of a model package.
    """
    try:
        card = json.loads(content)
    except ValueError as error:
        raise invalid(f"Model card content is not JSON: {error}") from error
    for fault in _validator(kind).iter_errors(card):
        why = fault.message  # begins with the whole of what was given
        shown = why if len(why) < 300 else f"{why[:100]}...{why[-100:]}"
        raise invalid(f"Model card content is invalid at {fault.json_path}: {shown}")


@functools.cache
def _validator(kind: str) -> Any:
    import jsonschema  # late: few use model cards

    schema = json.loads(_SCHEMA.read_text())
    return jsonschema.Draft7Validator({**schema, "$ref": f"#/{kind}"})


def _metadata(content: str) -> str:
    card = json.loads(content)
    return json.dumps(
        {
            section: {name: card[section][name] for name in names if name in card[section]}
            for section, names in _METADATA.items()
            if section in card
        }
    )


def _matches(version: Record, request: Record) -> bool:
    created = version["CreationTime"]
    return (
        request.get("ModelCardStatus") in (None, version["ModelCardStatus"])
        and created > request.get("CreationTimeAfter", 0.0)
        and created < request.get("CreationTimeBefore", float("inf"))
    )
