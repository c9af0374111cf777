"""The configuration of exports to an SFTP server, as typed values; validated once, at the edge.

    text + environment variables -> SftpConfig

`wharf.model.config_document` says what each key may hold; here and in the modules beside it (`config_exports`,
`config_notifications`, `config_secrets`) stands what keys mean together. A mistake does not hide another one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from wharf.model import config_document as written
from wharf.model.config_environment import with_environment
from wharf.model.config_exports import Surroundings, exports
from wharf.model.config_mistakes import Findings
from wharf.model.config_notifications import level, settings
from wharf.model.config_secrets import reference
from wharf.model.delivery import DeliveryProfile, SftpTarget
from wharf.model.errors import UsageError
from wharf.model.json_document import Place, parse
from wharf.model.notification import Notifications
from wharf.model.schema import TableId
from wharf.model.secrets import SecretRef
from wharf.model.sftp_export import SftpExport

METADATA_TABLE = "wharf.exports"
_FINGERPRINT = re.compile(r"(.*\s)?SHA256:[A-Za-z0-9+/]{43}=?(\s.*)?")


@dataclass(frozen=True, kw_only=True)
class SftpConfig:
    """A whole configuration, complete and checked; holds references to secrets and no secret."""

    uri: str  # where it was read from
    sftp: SftpTarget
    exports: Mapping[str, SftpExport]  # by name, in the document's order; those switched off too
    staging: str  # gs://BUCKET/PREFIX or a local folder, without a slash at its end
    metadata_table: str  # project.dataset.table, or dataset.table in `project`
    files_table: str
    project: str = ""  # empty: the credentials' own
    notifications: Notifications  # of exports that say nothing else
    debug: bool = False
    warnings: tuple[str, ...] = ()


def load(text: str, *, uri: str, variables: Mapping[str, str] | None = None, project: str = "") -> SftpConfig:
    """The configuration that `text`, read from `uri`, describes.

    `variables`: those of `config_environment.VARIABLES` that are set. `project` goes before the document's own.

    Raises: DocumentError, a UsageError, that lists every mistake by its path.
    """
    data, repeated = parse(text, uri)
    data, filled = with_environment(data, variables or {})
    findings = Findings(filled)
    for place in repeated:
        findings.wrong(place, "is given more than once: keep one")
    document = findings.check({**data, "exports": {}}, written.Document, ())
    said = level(document.notifications, ("notifications",), uri, findings)
    target = _target(document.sftp, ("sftp",), uri, findings)
    around = Surroundings(
        uri=uri,
        expiration_days=document.gcs.expiration_days,
        overwrite=target.delivery.overwrite,
        notifications=said,
    )
    found = exports(data.get("exports"), around, findings)
    metadata = _table(document, "metadata_table", "export_metadata_table", findings) or METADATA_TABLE
    config = SftpConfig(
        uri=uri,
        sftp=target,
        exports=found,
        staging=_staging(document, findings),
        metadata_table=metadata,
        files_table=_table(document, "files_table", "files_table", findings) or f"{metadata}_files",
        project=project or document.project,
        # A channel may be complete only with what each export adds; what is missing then is found there.
        notifications=settings(said, {"slack": (), "email": ()}, Findings({})),
        debug=document.debug,
        warnings=findings.warnings,
    )
    findings.raise_if_any(uri)
    return config


def check_remote_secrets(config: SftpConfig) -> None:
    """Make sure that workers on other machines can read every secret.

    Raises: UsageError for a reference to something that only this machine has.
    """
    for secret in _secrets(config):
        if secret.scheme in {"env", "file"} or (secret.scheme == "config" and not secret.rest.startswith("gs://")):
            raise UsageError(
                f"{secret} is a secret that workers cannot read: keep it in Secret Manager and refer to it by "
                "projects/PROJECT/secrets/NAME/versions/latest"
            )


def _secrets(config: SftpConfig) -> list[SecretRef]:
    found: list[SecretRef | None] = []
    target: SftpTarget | None = config.sftp
    while target:
        found += [target.password, target.private_key, target.passphrase, target.certificate]
        target = target.jump
    for told in [config.notifications, *(export.notifications for export in config.exports.values())]:
        found += [told.slack.webhook if told.slack else None, told.email.password if told.email else None]
    return [secret for secret in found if secret]


def _target(sftp: written.Sftp, place: Place, uri: str, findings: Findings) -> SftpTarget:
    # Only the server itself, not one on the way to it, can come from the environment.
    for key, variable in (("host", "SFTP_HOST"), ("username", "SFTP_USERNAME")):
        if not getattr(sftp, key).strip() and findings.sound(place, key):
            remedy = f": write it here, or set {variable}" if place == ("sftp",) else ""
            findings.wrong((*place, key), f"is missing{remedy}")
    if re.search(r"[\s/@]", sftp.host.strip()):
        findings.wrong((*place, "host"), "must be a name or an address alone, without sftp://, account or path")
    secrets = {
        key: reference(getattr(sftp, key), (*place, key), uri, findings)
        for key in ("password", "private_key", "passphrase", "certificate")
    }
    if not (sftp.password or sftp.private_key) and findings.sound(place, "password", "private_key"):
        remedy = ", or set SFTP_PASSWORD" if place == ("sftp",) else ""
        findings.wrong((*place, "password"), f"is missing: give a reference to it or to a private_key{remedy}")
    for key in ("passphrase", "certificate"):
        if secrets[key] and not sftp.private_key and findings.sound(place, "private_key"):
            findings.wrong((*place, key), "belongs to a private_key, which is missing")
    if sftp.path and sftp.directory and sftp.path != sftp.directory:
        findings.wrong((*place, "path"), "and directory say two things: keep one")
    if sftp.host_key and not _FINGERPRINT.fullmatch(sftp.host_key):
        findings.wrong((*place, "host_key"), "must be a fingerprint SHA256:..., as `ssh-keygen -lf` prints it")
    if sftp.jump and sftp.proxy_command:
        findings.wrong((*place, "proxy_command"), "and jump are two ways to one server: keep one")
    return SftpTarget(
        host=sftp.host.strip(),
        port=sftp.port,
        username=sftp.username,
        directory=sftp.directory or sftp.path,
        known_hosts=sftp.known_hosts,
        host_key=sftp.host_key,
        proxy_command=sftp.proxy_command,
        jump=_target(sftp.jump, (*place, "jump"), uri, findings) if sftp.jump else None,
        delivery=_delivery(sftp.delivery, (*place, "delivery"), findings),
        **secrets,
    )


def _delivery(delivery: written.Delivery, place: Place, findings: Findings) -> DeliveryProfile:
    if delivery.stripes > delivery.max_connections and findings.sound(place, "stripes", "max_connections"):
        findings.wrong((*place, "stripes"), f"is more than max_connections, {delivery.max_connections}")
    return DeliveryProfile(**delivery.model_dump())


def _staging(document: written.Document, findings: Findings) -> str:
    place: Place = ("staging",)
    if document.staging:
        if document.gcs.bucket:
            findings.wrong(place, "and gcs.bucket say two things: keep one")
        if re.match(r"gs:(?!//[^/])|(?!gs:)[A-Za-z][A-Za-z0-9+.-]*://", document.staging):
            findings.wrong(place, "is neither gs://bucket/prefix nor a local folder")
        return document.staging.rstrip("/") or "/"
    if not document.gcs.bucket and findings.sound((), "staging") and findings.sound(("gcs",), "bucket"):
        findings.wrong(("gcs", "bucket"), "is missing: write it here, set GCS_BUCKET, or give a folder as staging")
    prefix = document.gcs.prefix.strip("/")
    return f"gs://{document.gcs.bucket}/{prefix}".rstrip("/")


def _table(document: written.Document, key: str, key_in_metadata: str, findings: Findings) -> str:
    """A table that may be named at the top or in `metadata`; empty if it is in neither."""
    at_top, below = getattr(document, key), getattr(document.metadata, key_in_metadata)
    if at_top and below and at_top != below:
        findings.wrong((key,), f"and metadata.{key_in_metadata} say two things: keep one")
    place: Place = (key,) if at_top else ("metadata", key_in_metadata)
    table: str = at_top or below or ""
    if table:
        try:
            TableId.parse(table, flag=key, project="project")
        except UsageError:
            findings.wrong(place, "is not a table's name: write project.dataset.table")
    return table
