"""The operations of SageMaker, one module per resource family.

To add an operation, write a method marked `@operation` in its family: its request arrives validated
and its answer is cut to the output shape, both by botocore's model. To add a family, write its
module with a `Kind` (which brings Describe, List and Delete) and name its class in `service.py`.
An operation that is in no family is refused as not implemented locally.
"""
