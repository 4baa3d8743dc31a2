"""The operations of SageMaker, one module per resource family."""
