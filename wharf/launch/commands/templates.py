"""`wharf templates`: the files that are made from the pipelines' flags, and templates for Dataflow."""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from wharf import __version__
from wharf.launch.parser import add_command, add_group
from wharf.model.errors import RunFailed, UsageError

if TYPE_CHECKING:
    from wharf.model.launching.pipelines import Pipeline

_DOCKERFILE = "templates/Dockerfile"
_CLOUD_BUILD = "templates/cloudbuild.json"


def register(commands: Any) -> None:
    """Add `templates build|publish|spec` to the commands of a parser."""
    actions = add_group(
        commands, "templates", "build and publish the Dataflow templates of the pipelines"
    ).add_subparsers()
    build = add_command(
        actions, "build", _build, "write templates, README tables and Terraform variables from the pipelines' flags"
    )
    build.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is out of date")
    publish = add_command(
        actions,
        "publish",
        _publish,
        "build the image, push it, and upload the templates that run it",
        examples=["wharf templates publish --image eu.gcr.io/my-project/wharf --bucket gs://my-bucket --dry-run"],
    )
    publish.add_argument(
        "--image", metavar="IMAGE", required=True, help="the image's name in a registry, without a tag"
    )
    publish.add_argument(
        "--bucket", metavar="URI", required=True, help="templates go to templates/VERSION/ below it: gs://my-bucket"
    )
    publish.add_argument(
        "--version", metavar="VERSION", default=__version__, help=f"the release (default {__version__})"
    )
    publish.add_argument(
        "--project", metavar="PROJECT", help="whose Cloud Build and Cloud Storage quota is used, if not gcloud's own"
    )
    publish.add_argument("--region", metavar="REGION", help="where Cloud Build builds")
    publish.add_argument("--cloud-build", action="store_true", help="build with Cloud Build instead of a local Docker")
    publish.add_argument("--no-build", action="store_true", help="only upload the templates; the image is there")
    publish.add_argument("--dry-run", action="store_true", help="print the commands, and run none")
    spec = add_command(actions, "spec", _spec, "print the template of a pipeline, as it is uploaded")
    spec.add_argument("pipeline", metavar="PIPELINE", help="such as bigquery_to_avro")
    spec.add_argument("--image", metavar="IMAGE", required=True, help="the image that it runs, with its tag")


def generated(root: Path) -> dict[Path, str]:
    """Every file of the repository at `root` that is made from declarations, and what it should hold."""
    from wharf.model.launching import template, terraform
    from wharf.model.launching.pipelines import PIPELINES

    texts = {f"templates/{pipeline.name}.json": template.text(pipeline) for pipeline in PIPELINES.values()}
    texts[_CLOUD_BUILD] = json.dumps(_cloud_build(), indent=2) + "\n"
    texts |= terraform.generated()
    readme = root / "README.md"
    files = {root / path: text for path, text in texts.items()}
    return files | {readme: with_flag_tables(readme.read_text(encoding="utf-8"))}


def with_flag_tables(text: str) -> str:
    """The README with each pipeline's table of flags between its marks.

    Raises: UsageError if a mark is missing.
    """
    from wharf.model.flags import markdown_table
    from wharf.model.launching.pipelines import PIPELINES

    for pipeline in PIPELINES.values():
        begin, end = f"<!-- flags: {pipeline.name} -->", "<!-- end of flags -->"
        before, found, after = text.partition(begin)
        if not found or end not in after:
            raise UsageError(f"README.md: there is no {begin} with {end} behind it: add them where the flags belong")
        text = f"{before}{begin}\n\n{markdown_table(pipeline.flags)}\n\n{end}{after.partition(end)[2]}"
    return text


class Step(NamedTuple):
    """A command; it reads `input`, which `source` prints."""

    words: tuple[str, ...]
    input: str = ""
    source: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " | ".join(shlex.join(words) for words in (self.source, self.words) if words)


def steps(arguments: argparse.Namespace) -> list[Step]:
    """What publishes the templates.

    An image runs the file that a variable of its environment names, and a template cannot set variables: so there is
    an image for each pipeline. They differ in a layer of one file, the rest is built, pushed and kept once.
    """
    from wharf.model.launching import template
    from wharf.model.launching.pipelines import PIPELINES

    target = f"{arguments.bucket.rstrip('/')}/templates/{arguments.version}"
    project = ("--project", arguments.project) if arguments.project else ()
    found = [] if arguments.no_build else [Step(words) for words in _building(arguments, project)]
    for pipeline in PIPELINES.values():
        image = _tagged(arguments.image, arguments.version, pipeline)
        # Not by `gcloud dataflow flex-template build`: it leaves out streaming modes, and the image of the workers.
        upload = ("gcloud", "storage", "cp", "-", f"{target}/{pipeline.name}.json", *project)
        source = ("wharf", "templates", "spec", pipeline.name, "--image", image)
        found.append(Step(upload, _json(template.specification(pipeline, image)), source))
    return found


def _building(arguments: argparse.Namespace, project: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
    from wharf.model.launching.pipelines import PIPELINES

    if arguments.cloud_build:
        names = f"_IMAGE={arguments.image},_VERSION={arguments.version}"
        region = ("--region", arguments.region) if arguments.region else ()
        yield ("gcloud", "builds", "submit", "--config", _CLOUD_BUILD, "--substitutions", names, *project, *region, ".")
        return
    images = {pipeline: _tagged(arguments.image, arguments.version, pipeline) for pipeline in PIPELINES.values()}
    for pipeline, image in images.items():
        yield ("docker", *_docker_build(pipeline, image))
    for image in images.values():
        yield ("docker", "push", image)


def _cloud_build() -> dict[str, Any]:
    """`Build` of Cloud Build's REST API (v1)."""
    from wharf.model.launching.pipelines import PIPELINES

    images = {pipeline: _tagged("${_IMAGE}", "${_VERSION}", pipeline) for pipeline in PIPELINES.values()}
    return {
        "steps": [
            {"name": "gcr.io/cloud-builders/docker", "args": _docker_build(pipeline, image)}
            for pipeline, image in images.items()
        ],
        "images": list(images.values()),
        "timeout": "3600s",
    }


def _docker_build(pipeline: Pipeline, image: str) -> list[str]:
    return ["build", "--file", _DOCKERFILE, "--build-arg", f"PIPELINE={pipeline.name}", "--tag", image, "."]


def _tagged(image: str, version: str, pipeline: Pipeline) -> str:
    return f"{image}:{version}-{pipeline.name}"


def _build(arguments: argparse.Namespace) -> int:
    root = _repository()
    stale = {path: text for path, text in generated(root).items() if not _holds(path, text)}
    for path, text in stale.items():
        name = path.relative_to(root)
        if arguments.check:
            print(f"{name} is out of date: run `wharf templates build`", file=sys.stderr)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"wrote {name}")
    if not stale:
        print("everything is up to date")
    return int(bool(stale and arguments.check))


def _holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


def _publish(arguments: argparse.Namespace) -> int:
    from wharf.model import patterns

    _check("bucket", arguments.bucket, patterns.FOLDER, "gs://my-bucket")
    _check("image", arguments.image, r"[a-z0-9][a-z0-9._-]*(:[0-9]+)?(/[a-z0-9._-]+)+", "eu.gcr.io/my-project/wharf")
    _check("version", arguments.version, "[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", __version__)
    planned = steps(arguments)
    if arguments.dry_run:
        print(*planned, sep="\n")
        return 0
    if not arguments.no_build:
        _repository()
    for tool in dict.fromkeys(step.words[0] for step in planned):
        if not shutil.which(tool):
            raise UsageError(f"{tool} is not installed: install it, or see with --dry-run what it would be asked")
    for step in planned:
        print(f"=> {step}", file=sys.stderr)
        ended = subprocess.run(step.words, input=step.input or None, text=True)
        if ended.returncode:
            raise RunFailed(
                f"`{shlex.join(step.words)}` ended with exit code {ended.returncode}: mend what it says above, and "
                "publish again; what is there already is replaced by the same"
            )
    target = f"{arguments.bucket.rstrip('/')}/templates/{arguments.version}"
    print(f"published to {target}; launch configurations name it as `templates`")
    return 0


def _spec(arguments: argparse.Namespace) -> int:
    from wharf.model.launching import template
    from wharf.model.launching.pipelines import pipeline_named

    sys.stdout.write(_json(template.specification(pipeline_named(arguments.pipeline), arguments.image)))
    return 0


def _json(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"


def _check(flag: str, value: str, pattern: str, example: str) -> None:
    import re

    if not re.fullmatch(pattern, value):
        raise UsageError(f"--{flag}: {value!r} is not understood: write one like {example}")


def _repository() -> Path:
    """The directory that the command runs in, if it is Wharf's repository."""
    root = Path.cwd()
    if not (root / _DOCKERFILE).exists():
        raise UsageError(f"there is no {_DOCKERFILE} in {root}: run this in Wharf's repository")
    return root
