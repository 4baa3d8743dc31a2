"""What the ledger remembers: one record class per thing of the journey.

The ledger is one DynamoDB table with keys `pk` and `sk`. Every record knows its key:

| record | pk | sk |
|---|---|---|
| ModelRecord | `models` | `<model>` |
| ProjectRecord | `model#<model>` | `project#<version>` |
| DropRecord | `model#<model>` | `drop#<drop>` |
| ObjectRecord | `drop#<model>/<drop>` | `object#<key>`, `stray#<key>#<version>` |
| DatasetRecord | `model#<model>` | `dataset#<version>` |
| RunRecord | `model#<model>` | `run#<run>` |
| RequestRecord | `model#<model>` | `request#<request>` |
| TurnRecord | `turns` | `<model>` |
| DeploymentRecord | `model#<model>` | `deployment#<deployment>` |
| RecoveryRecord | `model#<model>` | `recovery#<recovery>` |
| PauseRecord | `model#<model>` | `pause#<time>` |
| OutcomesRecord | `model#<model>` | `outcomes#<digest>` |
| EndpointRecord | `endpoints` | `<endpoint>` |

Times are ISO 8601 in UTC with a `Z`, so they sort as text.
"""

from headrace.records.base import (
    Key,
    Record,
    drop_partition,
    model_partition,
    now,
)
from headrace.records.data import (
    DatasetRecord,
    DropRecord,
    DropState,
    ModelRecord,
    ObjectRecord,
    OutcomesRecord,
    ProjectRecord,
)
from headrace.records.serving import (
    DeploymentRecord,
    DeploymentStatus,
    EndpointRecord,
    PauseRecord,
    RecoveryRecord,
)
from headrace.records.training import (
    RequestRecord,
    RunRecord,
    RunStatus,
    TurnRecord,
)

__all__ = [
    "DatasetRecord",
    "DeploymentRecord",
    "DeploymentStatus",
    "DropRecord",
    "DropState",
    "EndpointRecord",
    "Key",
    "ModelRecord",
    "ObjectRecord",
    "OutcomesRecord",
    "PauseRecord",
    "ProjectRecord",
    "Record",
    "RecoveryRecord",
    "RequestRecord",
    "RunRecord",
    "RunStatus",
    "TurnRecord",
    "drop_partition",
    "model_partition",
    "now",
]
