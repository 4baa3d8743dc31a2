"""mlflow.deployments: a model logged by MLflow is put behind an endpoint of SageMaker."""

import os

import mlflow
import mlflow.deployments
import pandas
from steps import step

ROLE, BUCKET = os.environ["ROLE"], os.environ["BUCKET"]


class Doubler(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return (2 * model_input["x"]).tolist()


step("mlflow.pyfunc.save_model")
mlflow.set_tracking_uri("sqlite:///mlflow.db")
mlflow.pyfunc.save_model("model", python_model=Doubler(), pip_requirements=["mlflow"])

step("mlflow.deployments.get_deploy_client, create_deployment")
client = mlflow.deployments.get_deploy_client("sagemaker:/us-east-1")
client.create_deployment(
    "mlflow-doubler",
    "model",
    flavor="python_function",
    config={
        "execution_role_arn": ROLE,
        "bucket": BUCKET,
        "image_url": "000000000000.dkr.ecr.us-east-1.amazonaws.com/mlflow-pyfunc:3",
        "instance_type": "ml.m5.large",
        "instance_count": 1,
        "timeout_seconds": 300,
    },
)

step("list_deployments, get_deployment")
assert "mlflow-doubler" in [each["EndpointName"] for each in client.list_deployments()]
assert client.get_deployment("mlflow-doubler")["EndpointStatus"] == "InService"

step("predict")
answer = client.predict("mlflow-doubler", pandas.DataFrame({"x": [1.0, 2.5]}))
print(answer)
assert answer["predictions"] == [2.0, 5.0], answer

step("update_deployment")
client.update_deployment(
    "mlflow-doubler",
    "model",
    flavor="python_function",
    config={
        "execution_role_arn": ROLE,
        "bucket": BUCKET,
        "image_url": "000000000000.dkr.ecr.us-east-1.amazonaws.com/mlflow-pyfunc:3",
        "instance_type": "ml.m5.large",
        "instance_count": 1,
        "mode": "replace",
        "timeout_seconds": 300,
    },
)
answer = client.predict("mlflow-doubler", pandas.DataFrame({"x": [4.0]}))
assert answer["predictions"] == [8.0], answer

step("delete_deployment")
client.delete_deployment("mlflow-doubler", config={"timeout_seconds": 300})
assert "mlflow-doubler" not in [each["EndpointName"] for each in client.list_deployments()]
