"""What an hour of a training instance costs, for estimates only: never a bill.

On-demand prices of training instances in US East (N. Virginia), in USD, as of 2024:
https://aws.amazon.com/sagemaker/pricing/ (On-Demand Pricing, Training). Spot costs less, other
regions mostly more.
"""

USD_PER_HOUR = {
    "ml.m5.large": 0.115,
    "ml.m5.xlarge": 0.23,
    "ml.m5.2xlarge": 0.461,
    "ml.m5.4xlarge": 0.922,
    "ml.m5.12xlarge": 2.765,
    "ml.m5.24xlarge": 5.53,
    "ml.c5.xlarge": 0.204,
    "ml.c5.2xlarge": 0.408,
    "ml.c5.4xlarge": 0.816,
    "ml.c5.9xlarge": 1.836,
    "ml.c5.18xlarge": 3.672,
}
