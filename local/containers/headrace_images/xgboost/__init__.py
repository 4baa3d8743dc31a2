"""The built-in XGBoost algorithm.

Source: "XGBoost algorithm with Amazon SageMaker AI" (hyperparameters, input and output interface,
checkpoints) of the developer guide.
"""
