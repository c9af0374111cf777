"""Environment variables that go before what a configuration says, as a change of the document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wharf.model.json_document import Place

# Which place each variable fills. A variable that is set and empty counts as not set.
VARIABLES: dict[str, Place] = {
    "SFTP_HOST": ("sftp", "host"),
    "SFTP_PORT": ("sftp", "port"),
    "SFTP_USERNAME": ("sftp", "username"),
    "SFTP_PASSWORD": ("sftp", "password"),
    "SFTP_DIRECTORY": ("sftp", "directory"),
    "SFTP_KNOWN_HOSTS": ("sftp", "known_hosts"),
    "SFTP_HOST_KEY": ("sftp", "host_key"),
    "GCS_BUCKET": ("gcs", "bucket"),
    "EXPORT_METADATA_TABLE": ("metadata_table",),
    "EMAIL_PASSWORD": ("notifications", "email", "password"),
    "DEBUG": ("debug",),
}
# The same thing under another name in the document, which must not contradict the variable.
_OTHER_NAMES: dict[str, Place] = {
    "SFTP_DIRECTORY": ("sftp", "path"),
    "GCS_BUCKET": ("staging",),
    "EXPORT_METADATA_TABLE": ("metadata", "export_metadata_table"),
}
_SWITCH = {"true": True, "1": True, "false": False, "0": False}


def with_environment(
    document: Mapping[str, Any], variables: Mapping[str, str]
) -> tuple[dict[str, Any], dict[Place, str]]:
    """The document with `variables` (name -> value) in their places, and which variable filled which place.

    A secret is not copied: its place gets the reference `env:NAME`.
    """
    changed, filled = dict(document), {}
    for name, place in VARIABLES.items():
        if not variables.get(name):
            continue
        value = _value(name, variables[name])
        places = _email_passwords(changed) if name == "EMAIL_PASSWORD" else [place]
        for each in places if value is not None else []:
            if other := _OTHER_NAMES.get(name):
                changed = _without(changed, other)
            changed = _with(changed, each, value)
            filled[each] = name
    return changed, filled


def _value(name: str, text: str) -> Any:
    if name.endswith("_PASSWORD"):
        return f"env:{name}"
    if name == "SFTP_PORT" and text.isdecimal():
        return int(text)
    if name == "DEBUG":
        return _SWITCH.get(text.lower())  # many programs read DEBUG; what is meant for another one is passed over
    return text


def _email_passwords(document: Mapping[str, Any]) -> list[Place]:
    """The place of the password in each `email` there is, of all exports and of single ones."""
    holders: list[tuple[Place, Any]] = [((), document)]
    exports = document.get("exports")
    if isinstance(exports, dict):
        holders += [(("exports", name), export) for name, export in exports.items()]
    elif isinstance(exports, list):
        holders += [(("exports", index), export) for index, export in enumerate(exports)]
    return [
        (*place, "notifications", "email", "password")
        for place, holder in holders
        if isinstance(_get(_get(holder, "notifications"), "email"), dict)
    ]


def _get(data: Any, key: str) -> Any:
    return data.get(key) if isinstance(data, dict) else None


def _with(data: Any, place: Place, value: Any) -> Any:
    """A copy of `data` with `value` at `place`; where something else than an object is in the way, it stays."""
    if not place:
        return value
    step, rest = place[0], place[1:]
    if isinstance(data, list) and isinstance(step, int):
        return [_with(item, rest, value) if index == step else item for index, item in enumerate(data)]
    if isinstance(data, dict):
        return {**data, step: _with(data.get(step, {}), rest, value)}
    return data


def _without(data: Any, place: Place) -> Any:
    step, rest = place[0], place[1:]
    if not isinstance(data, dict) or step not in data:
        return data
    if rest:
        return {**data, step: _without(data[step], rest)}
    return {key: value for key, value in data.items() if key != step}
