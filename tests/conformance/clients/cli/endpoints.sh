# Endpoints, with the waiters, which look every 30 seconds.
. "$STEPS"

step "aws sagemaker create-model, create-endpoint-config, create-endpoint"
aws sagemaker create-model --model-name cli-model --execution-role-arn "$ROLE" --primary-container \
    "Image=000000000000.dkr.ecr.us-east-1.amazonaws.com/conformance:1,ModelDataUrl=s3://$BUCKET/models/one.tar.gz"
aws sagemaker create-endpoint-config --endpoint-config-name cli-config --production-variants \
    VariantName=all,ModelName=cli-model,InstanceType=ml.m5.large,InitialInstanceCount=1
aws sagemaker create-endpoint --endpoint-name cli-endpoint --endpoint-config-name cli-config

step "aws sagemaker wait endpoint-in-service"
aws sagemaker wait endpoint-in-service --endpoint-name cli-endpoint

step "aws sagemaker-runtime invoke-endpoint"
aws sagemaker-runtime invoke-endpoint --endpoint-name cli-endpoint --content-type text/csv \
    --body hello answer.json
grep '"model": "one"' answer.json

step "aws sagemaker describe-endpoint --query"
test InService = "$(aws sagemaker describe-endpoint --endpoint-name cli-endpoint \
    --query EndpointStatus --output text)"

step "mistake: an unknown endpoint is ValidationError"
! aws sagemaker-runtime invoke-endpoint --endpoint-name cli-missing --body x out 2> error.txt
grep "An error occurred (ValidationError)" error.txt

step "aws sagemaker delete-endpoint; wait endpoint-deleted"
aws sagemaker delete-endpoint --endpoint-name cli-endpoint
aws sagemaker wait endpoint-deleted --endpoint-name cli-endpoint
