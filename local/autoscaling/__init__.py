"""Application Auto Scaling for SageMaker's endpoint variants: policies that really scale them.

`AutoScaling` is the service; `Monitor` is what it needs of CloudWatch around it.
"""

from local.autoscaling.monitor import Alarm, Monitor
from local.autoscaling.service import AutoScaling

__all__ = ["Alarm", "AutoScaling", "Monitor"]
