"""Private workforces and work teams. Who is in a team is not checked here: workers give names."""

from __future__ import annotations

from local.sagemaker.context import Context
from local.sagemaker.errors import ServiceError, invalid, not_implemented
from local.sagemaker.families.base import Family, operation
from local.sagemaker.resources import Kind, Resources
from local.sagemaker.store import Record

_WORKFORCE = Kind(
    name="Workforce",
    slug="workforce",
    missing="The workforce {arn} does not exist.",
    duplicate="A workforce already exists in this region: {arn}.",
    order="Descending",
)


WORKTEAM = Kind(
    name="Workteam",
    slug="workteam/private-crowd",
    missing="The workteam {arn} does not exist.",
    duplicate="A workteam with this name already exists ({arn}).",
    duplicate_code="ResourceInUse",
)


def team_of(teams: Resources, arn: str) -> Record:
    """Return the team of an ARN. Refuses the public workforce and vendors'."""
    parts = arn.split("workteam/", 1)[-1].split("/")
    if parts[0] != "private-crowd":
        raise not_implemented(f"The workforce of {parts[0]}")
    team = teams.get(parts[-1])
    if team["WorkteamArn"] != arn:
        raise teams.not_found(parts[-1])
    return team


class Workforces(Family):
    """The region's workforce: there can be one. Who is in it is not checked."""

    kind = _WORKFORCE
    generic = ()
    stored_only = frozenset(
        f"{verb}Workforce{'s' * (verb == 'List')}"
        for verb in ("Create", "Describe", "List", "Update", "Delete")
    )

    @operation
    def create_workforce(self, request: Record) -> Record:
        """Create the workforce."""
        if ("CognitoConfig" in request) == ("OidcConfig" in request):
            raise invalid("Exactly one of CognitoConfig and OidcConfig is needed.")
        for existing in self.resources.all():
            raise invalid(_WORKFORCE.duplicate.format(arn=existing["WorkforceArn"]))
        return add_workforce(self.resources, request)

    @operation
    def describe_workforce(self, request: Record) -> Record:
        """Return the workforce."""
        return {"Workforce": _shown(self.resources.get(request["WorkforceName"]))}

    @operation
    def list_workforces(self, request: Record) -> Record:
        """List the workforce."""
        return self.resources.list(request, map(_shown, self.resources.all()))

    @operation
    def update_workforce(self, request: Record) -> Record:
        """Change who may work, and from where."""
        changes = {name: value for name, value in request.items() if name != "WorkforceName"}
        name = self.resources.get(request["WorkforceName"])["WorkforceName"]
        return {"Workforce": _shown(self.resources.update(name, _hide(changes)))}

    @operation
    def delete_workforce(self, request: Record) -> Record:
        """Remove a workforce without teams."""
        record = self.resources.get(request["WorkforceName"])
        if self.context.store.all("Workteam"):
            arn = record["WorkforceArn"]
            raise ServiceError("ResourceInUse", f"The workforce {arn} has work teams; delete them.")
        self.resources.delete(record["WorkforceName"])
        return {}


class Workteams(Family):
    """Private work teams, to whom labeling jobs give tasks."""

    kind = WORKTEAM
    generic = ()

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._workforces = Resources(_WORKFORCE, context.store, context.cloud)

    @operation
    def create_workteam(self, request: Record) -> Record:
        """Create a team; the first team of a Cognito user pool brings the default workforce."""
        workforces = self._workforces.all()
        if name := request.get("WorkforceName"):
            workforce = self._workforces.get(name)
        elif workforces:
            workforce = workforces[0]
        else:
            pool = request["MemberDefinitions"][0].get("CognitoMemberDefinition")
            if pool is None:
                raise invalid("There is no workforce. Create one with CreateWorkforce first.")
            config = {"UserPool": pool["UserPool"], "ClientId": pool["ClientId"]}
            workforce = add_workforce(
                self._workforces, {"WorkforceName": "default", "CognitoConfig": config}
            )
        return self.resources.create(
            request["WorkteamName"], request, WorkforceArn=workforce["WorkforceArn"]
        )

    @operation
    def describe_workteam(self, request: Record) -> Record:
        """Return a team."""
        return {"Workteam": _shown(self.resources.get(request["WorkteamName"]))}

    @operation
    def list_workteams(self, request: Record) -> Record:
        """List teams."""
        return self.resources.list(request, map(_shown, self.resources.all()))

    @operation
    def update_workteam(self, request: Record) -> Record:
        """Change a team's members, description or notifications."""
        changes = {name: value for name, value in request.items() if name != "WorkteamName"}
        return {"Workteam": _shown(self.resources.update(request["WorkteamName"], changes))}

    @operation
    def delete_workteam(self, request: Record) -> Record:
        """Remove a team that no labeling job waits for."""
        team = self.resources.get(request["WorkteamName"])
        for job in self.context.store.all("LabelingJob"):
            waits = job["LabelingJobStatus"] in ("Initializing", "InProgress", "Stopping")
            if waits and job["WorkteamArn"] == team["WorkteamArn"]:
                raise invalid(
                    f"The workteam {team['WorkteamArn']} is in use by labeling job "
                    f"{job['LabelingJobName']}; stop it first."
                )
        self.resources.delete(team["WorkteamName"])
        return {"Success": True}


def add_workforce(workforces: Resources, request: Record) -> Record:
    """Create a workforce, active at once."""
    return workforces.create(request["WorkforceName"], _hide(request), Status="Active")


def _shown(record: Record) -> Record:
    """Return a record with its times under the names that these answers give them."""
    times = {"CreateDate": record["CreationTime"], "LastUpdatedDate": record["LastModifiedTime"]}
    return {**record, **times}


def _hide(request: Record) -> Record:
    """Leave out what answers never show: the secret of an identity provider's client."""
    if "OidcConfig" not in request:
        return request
    shown = {name: v for name, v in request["OidcConfig"].items() if name != "ClientSecret"}
    return {**request, "OidcConfig": shown}
