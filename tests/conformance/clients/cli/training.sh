# Training jobs: create from a file and from options, wait, describe, list, errors.
. "$STEPS"
cat > job.json <<JSON
{
  "TrainingJobName": "cli-training",
  "RoleArn": "$ROLE",
  "AlgorithmSpecification": {
    "TrainingImage": "000000000000.dkr.ecr.us-east-1.amazonaws.com/conformance:1",
    "TrainingInputMode": "File"
  },
  "OutputDataConfig": {"S3OutputPath": "s3://$BUCKET/cli-training"},
  "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
  "StoppingCondition": {"MaxRuntimeInSeconds": 600}
}
JSON

step "aws sagemaker create-training-job --cli-input-json"
aws sagemaker create-training-job --cli-input-json file://job.json --tags Key=team,Value=data

step "aws sagemaker wait training-job-completed-or-stopped"
aws sagemaker wait training-job-completed-or-stopped --training-job-name cli-training

step "aws sagemaker describe-training-job --query"
status=$(aws sagemaker describe-training-job --training-job-name cli-training \
    --query TrainingJobStatus --output text)
test "$status" = Completed

step "aws s3 cp of the model"
aws s3 cp "$(aws sagemaker describe-training-job --training-job-name cli-training \
    --query ModelArtifacts.S3ModelArtifacts --output text)" model.tar.gz
tar tzf model.tar.gz | grep text

step "aws logs filter-log-events of the job"
aws logs filter-log-events --log-group-name /aws/sagemaker/TrainingJobs \
    --log-stream-name-prefix cli-training/ --query "events[].message" --output text > logged.txt
grep "training with" logged.txt

step "aws sagemaker list-training-jobs, which follows the pages"
names=$(aws sagemaker list-training-jobs --name-contains cli- --page-size 1 \
    --query "TrainingJobSummaries[].TrainingJobName" --output text)
test "$names" = cli-training

step "aws sagemaker list-tags"
aws sagemaker list-tags --output text --resource-arn "$(aws sagemaker describe-training-job \
    --training-job-name cli-training --query TrainingJobArn --output text)" | grep data

step "mistake: a name that is taken is ResourceInUse"
! aws sagemaker create-training-job --cli-input-json file://job.json 2> error.txt
grep "An error occurred (ResourceInUse)" error.txt

step "mistake: an unknown job is refused"
! aws sagemaker describe-training-job --training-job-name cli-missing 2> error.txt
grep "Requested resource not found" error.txt
