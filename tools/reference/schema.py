"""Reading JSON schema as a person would."""

from typing import Any

Json = dict[str, Any]


def type_name(schema: Json) -> str:
    """Return a field's type in words, with its limits."""
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        kinds = [type_name(one) for one in schema["anyOf"] if one.get("type") != "null"]
        return " or ".join(kinds)
    if "$ref" in schema:
        return f"[{section(schema)}](#{section(schema).lower()})"
    if schema.get("type") == "array":
        return f"list of {type_name(schema['items'])}"
    if schema.get("type") == "object":
        inner = schema.get("additionalProperties")
        return f"mapping to {type_name(inner)}" if isinstance(inner, dict) else "mapping"
    return f"{schema.get('type', 'anything')}{limits(schema)}"


def limits(schema: Json) -> str:
    """Return a number's bounds or a text's pattern, as a suffix of its type."""
    words = {
        "minimum": "≥ {}",
        "exclusiveMinimum": "> {}",
        "maximum": "≤ {}",
        "exclusiveMaximum": "< {}",
        "maxLength": "at most {} characters",
        "pattern": "like `{}`",
    }
    said = [text.format(_plain(schema[key])) for key, text in words.items() if key in schema]
    return f", {', '.join(said)}" if said else ""


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def section(schema: Json) -> str:
    """Return the name of the class a reference points to."""
    return str(schema["$ref"]).rpartition("/")[2]


def references(schema: Json) -> list[str]:
    """Return the classes a field's schema points to."""
    found = [section(schema)] if "$ref" in schema else []
    for one in [*schema.get("anyOf", []), schema.get("items"), schema.get("additionalProperties")]:
        if isinstance(one, dict):
            found += references(one)
    return found
