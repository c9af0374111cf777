"""What a Flex Template says of a pipeline: the form that people fill in, and the values that Dataflow refuses.

Metadata is Dataflow's `TemplateMetadata`, a specification its `ContainerSpec`: REST API v1b3, and
https://cloud.google.com/dataflow/docs/guides/templates/using-flex-templates. The API checks that parameters are known,
that those are there which are not optional, and `regexes`. `paramType` chooses how the console asks, and it asks for
what such a value usually looks like: a parameter gets a type only if that refuses nothing that the pipeline takes.
"""

from __future__ import annotations

import json
import re
from typing import Any

from wharf.model.flags import Flag
from wharf.model.launching.pipelines import Pipeline

Json = dict[str, Any]


def metadata(pipeline: Pipeline) -> Json:
    """`TemplateMetadata`."""
    flags = [flag for flag in pipeline.flags if flag.in_template]
    found: Json = {"name": pipeline.title, "description": f"{pipeline.summary}.", "streaming": _may_stream(pipeline)}
    if found["streaming"]:
        # Whoever claims a batch first loads it, so one that is announced twice is loaded once. But people are told
        # twice, and duplicates cost queries: exactly once is what one gets without asking for the other.
        found |= {
            "supportsAtLeastOnce": True,
            "supportsExactlyOnce": True,
            "defaultStreamingMode": "EXACTLY_ONCE",
        }
    return found | {"parameters": [parameter(flag) for flag in flags]}


def text(pipeline: Pipeline) -> str:
    """The metadata as a file."""
    return json.dumps(metadata(pipeline), indent=2) + "\n"


def specification(pipeline: Pipeline, image: str) -> Json:
    """`ContainerSpec`, what a template on Cloud Storage is: `image` launches jobs, and does their work."""
    return {
        "image": image,
        "sdkInfo": {"language": "PYTHON"},
        "metadata": metadata(pipeline),
        "defaultEnvironment": {"sdkContainerImage": image},
    }


def parameter(flag: Flag) -> Json:
    """`ParameterMetadata`."""
    found: Json = {"name": flag.name, "label": label(flag), "helpText": help_text(flag)}
    if not flag.required:
        found["isOptional"] = True
    if patterns := regexes(flag):
        found["regexes"] = patterns
    found["paramType"] = flag.param_type or ("BOOLEAN" if flag.is_switch else "ENUM" if flag.choices else "TEXT")
    if flag.choices:
        found["enumOptions"] = [{"value": choice, "label": choice} for choice in flag.choices]
    if flag.default or flag.is_switch:
        found["defaultValue"] = flag.default or "false"
    if flag.parent:
        found["parentName"] = flag.parent
        if flag.parent_values:
            found["parentTriggerValues"] = list(flag.parent_values)
    else:  # a heading counts only for those
        found["groupName"] = flag.group
    return found


def regexes(flag: Flag) -> list[str]:
    """What `Flag.check` allows where the work is done elsewhere; none if that is everything."""
    pattern = flag.remote or flag.pattern or "|".join(flag.values)
    return [f"^({pattern}){'?' if flag.may_be_empty else ''}$"] if pattern else []


def label(flag: Flag) -> str:
    """`Source table`."""
    return flag.label or flag.name.replace("_", " ").capitalize()


def help_text(flag: Flag) -> str:
    """The flag's help as sentences, with an example, and parameters named as they are in a template."""
    said = re.sub(r"--(?=[a-z])", "", f"{flag.help[0].upper()}{flag.help[1:]}.")
    return f"{said} For example: {flag.example}" if flag.example else said


def _may_stream(pipeline: Pipeline) -> bool:
    return any(flag.param_type == "PUBSUB_SUBSCRIPTION" for flag in pipeline.flags)
