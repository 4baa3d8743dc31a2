"""FeatureGroup of sagemaker-core, and the ingestion of a frame."""

import os

import pandas
from sagemaker.core.resources import FeatureGroup
from sagemaker.core.shapes import (
    FeatureDefinition,
    FeatureValue,
    OfflineStoreConfig,
    OnlineStoreConfig,
    S3StorageConfig,
)
from sagemaker.mlops.feature_store import ingest_dataframe
from steps import step

ROLE, BUCKET = os.environ["ROLE"], os.environ["BUCKET"]

step("FeatureGroup.create, wait_for_status")
group = FeatureGroup.create(
    feature_group_name="sdk3-features",
    record_identifier_feature_name="merchant",
    event_time_feature_name="at",
    feature_definitions=[
        FeatureDefinition(feature_name=name, feature_type=kind)
        for name, kind in (("merchant", "String"), ("amount", "Fractional"), ("at", "Fractional"))
    ],
    online_store_config=OnlineStoreConfig(enable_online_store=True),
    offline_store_config=OfflineStoreConfig(
        s3_storage_config=S3StorageConfig(s3_uri=f"s3://{BUCKET}/sdk3-features")
    ),
    role_arn=ROLE,
)
group.wait_for_status("Created", poll=1)

step("ingest_dataframe")
frame = pandas.DataFrame(
    {"merchant": ["a", "b"], "amount": [1.5, 2.5], "at": [1_700_000_000.0, 1_700_000_000.0]}
)
ingest_dataframe("sdk3-features", frame, max_workers=1, max_processes=1, wait=True)

step("FeatureGroup.put_record, get_record")
values = {"merchant": "c", "amount": "3.5", "at": "1700000000.0"}
group.put_record(
    record=[
        FeatureValue(feature_name=name, value_as_string=value) for name, value in values.items()
    ]
)
for name, amount in (("b", 2.5), ("c", 3.5)):
    answer = group.get_record(record_identifier_value_as_string=name)
    record = {each.feature_name: each.value_as_string for each in answer.record}
    assert float(record["amount"]) == amount, record

step("FeatureGroup.get_all, delete_record, delete")
names = [each.feature_group_name for each in FeatureGroup.get_all(name_contains="sdk3")]
assert names == ["sdk3-features"], names
group.delete_record(record_identifier_value_as_string="c", event_time="1700000100.0")
group.delete()
