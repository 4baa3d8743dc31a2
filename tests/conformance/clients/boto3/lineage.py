"""Lineage: entities of one's own, what AWS adds by itself for a job, QueryLineage."""

import os

import boto3
from steps import step

ROLE, BUCKET = os.environ["ROLE"], os.environ["BUCKET"]
DATA = f"s3://{BUCKET}/boto3-lineage/"
sagemaker, s3 = boto3.client("sagemaker"), boto3.client("s3")
s3.put_object(Bucket=BUCKET, Key="boto3-lineage/numbers.csv", Body=b"1,2")

step("create_artifact, create_context, add_association, list_associations")
artifact = sagemaker.create_artifact(
    ArtifactName="boto3-data",
    ArtifactType="DataSet",
    Source={"SourceUri": f"s3://{BUCKET}/boto3-own-data/"},
)["ArtifactArn"]
context = sagemaker.create_context(
    ContextName="boto3-context",
    ContextType="Project",
    Source={"SourceUri": "https://example.com/project"},
)["ContextArn"]
sagemaker.add_association(
    SourceArn=artifact, DestinationArn=context, AssociationType="ContributedTo"
)
listed = sagemaker.list_associations(SourceArn=artifact)["AssociationSummaries"]
assert [each["DestinationArn"] for each in listed] == [context], listed

step("a training job's entities: its input, its trial component, its model")
sagemaker.create_training_job(
    TrainingJobName="boto3-lineage",
    RoleArn=ROLE,
    AlgorithmSpecification={
        "TrainingImage": "000000000000.dkr.ecr.us-east-1.amazonaws.com/conformance:1",
        "TrainingInputMode": "File",
    },
    InputDataConfig=[
        {
            "ChannelName": "train",
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": DATA}},
        }
    ],
    OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/boto3-lineage-output"},
    ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
    StoppingCondition={"MaxRuntimeInSeconds": 60},
)
sagemaker.get_waiter("training_job_completed_or_stopped").wait(
    TrainingJobName="boto3-lineage", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
)
found = sagemaker.list_artifacts(SourceUri=DATA)["ArtifactSummaries"]
assert found, "no artifact of the input"

step("query_lineage")
answer = sagemaker.query_lineage(
    StartArns=[found[0]["ArtifactArn"]], Direction="Descendants", IncludeEdges=True
)
types = {vertex["LineageType"] for vertex in answer["Vertices"]}
assert "TrialComponent" in types, answer
assert answer["Edges"], answer

step("delete_association, delete_artifact, delete_context")
sagemaker.delete_association(SourceArn=artifact, DestinationArn=context)
sagemaker.delete_artifact(ArtifactArn=artifact)
sagemaker.delete_context(ContextName="boto3-context")
