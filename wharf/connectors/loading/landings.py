"""What has landed on Cloud Storage, and the `_config/` folders beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from google.api_core import exceptions

from wharf.connectors.retry import POLICY
from wharf.connectors.storage import blob_of, split_uri, translated
from wharf.model.errors import RunFailed
from wharf.model.loading.batch import LandedFile, Landing
from wharf.model.loading.landing import NO_MARKER, fixed_prefix, landings, parents, selected, split

if TYPE_CHECKING:
    from google.cloud.storage import Blob, Client

_CONFIG = "_config/"
_OPTIONS, _SCHEMA, _TRANSFORM, _ORDERED = "load.json", "schema.json", "bq_transform.sql", "ORDERME"
_FIELDS = "items(name,size,generation,timeCreated),nextPageToken"

Text = tuple[str, bytes]  # a file's URI and what it holds


class Config(NamedTuple):
    """What the `_config/` folders of a directory and its parents hold; of all but `options` the nearest one."""

    options: tuple[Text, ...] = ()  # every load.json, the nearest first
    schema: Text | None = None
    transform: Text | None = None
    ordered: bool = False


def list_landings(client: Client, pattern: str, marker: str, config_files: ConfigFiles | None = None) -> list[Landing]:
    """The batches that `pattern` means and that are complete, sorted; `config_files` learns what else is there.

    One listing of the pattern's fixed prefix.

    Raises: UsageError if the bucket is missing or out of reach.
    """
    prefix = fixed_prefix(pattern)
    files = _list(client, prefix)
    if config_files:
        config_files.learn(prefix, files)
    return [landing for landing in landings(files, marker, prefix) if selected(landing, pattern)]


def landing_of(client: Client, marker_uri: str, marker: str, config_files: ConfigFiles | None = None) -> Landing | None:
    """The batch that a marker, or with `none` a file, completes, as both are now; `config_files` learns from it.

    None if that file is gone, or, with `none`, has no content. One request.

    Raises: UsageError if the bucket is missing or out of reach.
    """
    directory, _ = split(marker_uri)
    if marker == NO_MARKER:
        blob = _found(client, marker_uri)
        files = [_landed(blob)] if blob else []
    else:
        files = _list(client, directory)
        if config_files:
            config_files.learn(directory, files)
    wanted = marker_uri if marker == NO_MARKER else directory
    return next((landing for landing in landings(files, marker, directory) if landing.directory == wanted), None)


def is_there(client: Client, uri: str) -> bool:
    """Whether there is such a file.

    Raises: UsageError if the bucket is missing or out of reach.
    """
    return _found(client, uri) is not None


class ConfigFiles:
    """Reads `_config/` folders, each once. What a listing told need not be asked again; for one thread."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._names: dict[str, set[str]] = {}  # by directory, what is in its _config/
        self._listed: set[str] = set()  # directories below which `_names` has everything
        self._found: dict[str, Config] = {}

    def learn(self, directory: str, files: Iterable[LandedFile]) -> None:
        """Take note that `files` are all that is below `directory`."""
        self._listed.add(directory)
        for file in files:
            folder, name = split(file.uri)
            if folder.endswith(f"/{_CONFIG}"):
                self._names.setdefault(folder.removesuffix(_CONFIG), set()).add(name)

    def of(self, directory: str) -> Config:
        """What holds for the files of a directory.

        Raises: UsageError if the bucket is missing or out of reach.
        """
        config = Config()
        for level in reversed(list(parents(directory))):
            if level not in self._found:
                self._found[level] = self._nearer(level, config)
            config = self._found[level]
        return config

    def _nearer(self, directory: str, config: Config) -> Config:
        names = self._names_of(directory)
        texts = {
            name: text
            for name in (_OPTIONS, _SCHEMA, _TRANSFORM)
            if name in names and (text := self._read(f"{directory}{_CONFIG}{name}"))
        }
        return Config(
            options=(*([texts[_OPTIONS]] if _OPTIONS in texts else []), *config.options),
            schema=texts.get(_SCHEMA, config.schema),
            transform=texts.get(_TRANSFORM, config.transform),
            ordered=config.ordered or _ORDERED in names,
        )

    def _names_of(self, directory: str) -> set[str]:
        if not any(above in self._listed for above in parents(directory)):
            self.learn(directory + _CONFIG, _list(self._client, directory + _CONFIG))
        return self._names.get(directory, set())

    def _read(self, uri: str) -> Text | None:
        with _asked(uri):
            try:
                return uri, blob_of(self._client, uri).download_as_bytes(retry=POLICY)
            except exceptions.NotFound:
                return None  # removed since it was listed


def _found(client: Client, uri: str) -> Blob | None:
    bucket, name = split_uri(uri)
    with _asked(uri):
        return client.bucket(bucket).get_blob(name, retry=POLICY)


def _list(client: Client, directory: str) -> list[LandedFile]:
    bucket, name = split_uri(directory)
    with _asked(directory):
        return [_landed(blob) for blob in client.list_blobs(bucket, prefix=name, fields=_FIELDS, retry=POLICY)]


def _landed(blob: Blob) -> LandedFile:
    return LandedFile(f"gs://{blob.bucket.name}/{blob.name}", blob.size, blob.generation, blob.time_created)


@contextmanager
def _asked(uri: str) -> Iterator[None]:
    """What a person must mend, as a UsageError that names the place."""
    try:
        with translated(uri, flag="--input", role="roles/storage.objectViewer"):
            yield
    except exceptions.RetryError as error:
        raise RunFailed(f"{uri}: Cloud Storage gives no answer; run it again") from error
