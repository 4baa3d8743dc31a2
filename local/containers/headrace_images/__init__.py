"""What runs inside the local stand-ins of AWS's framework images: training, serving, Spark.

These modules run under the image's interpreter (see `local/images.yaml`) and see the container
contract only: `/opt/ml`, SAGEMAKER_* and SM_* variables. They use the standard library and what the
image has, and never import `local`.
"""
