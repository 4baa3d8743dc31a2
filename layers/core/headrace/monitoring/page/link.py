"""The address of a report's page that notifications carry."""

from urllib.parse import quote

from headrace.settings import Settings


def report_link(settings: Settings, key: str) -> str:
    """Return where a person who may read the artifacts bucket finds an object of it.

    That is the console's page of the object, which asks who they are and lets them open it. A
    presigned URL is none: it ends with the session of the function that signs it, within hours,
    and until then shows the categories of callers to whoever the message is passed on to. A stack
    on this machine has no console: there, as anywhere, it is `headrace reports MODEL --open`.
    """
    place = f"{settings.region}.console.aws.amazon.com/s3/object/{settings.artifacts_bucket}"
    return f"https://{place}?region={settings.region}&prefix={quote(key, safe='')}"
