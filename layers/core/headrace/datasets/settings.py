"""What only functions of this stage are told, beyond what every function is."""

from pydantic import Field

from headrace.settings import Settings


class IntakeSettings(Settings):
    """For the functions that record, seal and reconcile drops."""

    state_machine_arn: str = Field(
        alias="STATE_MACHINE_ARN", description="Started for every sealed drop."
    )
    schedule_group: str = Field(alias="SCHEDULE_GROUP", description="Group of quiet schedules.")
    schedule_role_arn: str = Field(
        alias="SCHEDULE_ROLE_ARN", description="Role that quiet schedules invoke with."
    )
    schedule_target_arn: str = Field(
        alias="SCHEDULE_TARGET_ARN", description="The function that seals a quiet drop."
    )
    schedule_dead_letters_arn: str = Field(
        alias="SCHEDULE_DEAD_LETTERS_ARN", description="Queue of invocations that failed."
    )


class PlanSettings(Settings):
    """For the function that plans an inspection."""

    max_file_bytes: int = Field(
        alias="MAX_FILE_BYTES",
        gt=0,
        description="A larger file is quarantined: it, its rewritten form and spills must fit into "
        "the storage of the function that inspects it.",
    )


class InspectionSettings(Settings):
    """For the function that inspects files."""

    duckdb_memory_mb: int = Field(
        alias="DUCKDB_MEMORY_MB", gt=0, description="What DuckDB may use before it spills to disk."
    )
