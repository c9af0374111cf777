"""What the Terraform module takes from the code: the ledger's tables, and the parameters of each pipeline's jobs."""

from __future__ import annotations

import json

from wharf.model.fetching.ledger import FETCHES
from wharf.model.flags import Flag
from wharf.model.launching import template
from wharf.model.launching.pipelines import PIPELINES, Pipeline
from wharf.model.ledger import FILES, RUNS, TIES, LedgerTable
from wharf.model.loading.state import LOAD_FILES, LOADS, REJECTS

LEDGER = {
    "runs": RUNS,
    "files": FILES,
    "ties": TIES,
    "fetches": FETCHES,
    "loads": LOADS,
    "load_files": LOAD_FILES,
    "rejects": REJECTS,
}
# As BigQuery's API answers, whatever it was asked with: Terraform would see a change each time otherwise.
_API_TYPES = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN"}
_MODULE = "deploy/terraform"
_HEAD = "# Made by `wharf templates build` from the flags of the pipelines; change those.\n"


def generated() -> dict[str, str]:
    """Path below the repository -> text of each generated file of the module."""
    tables = {f"{_MODULE}/ledger/{name}.json": table_resource(shape) for name, shape in LEDGER.items()}
    variables = "\n".join([_HEAD, *map(_variable, PIPELINES.values())])
    return tables | {f"{_MODULE}/parameters/variables.tf": variables}


def table_resource(shape: LedgerTable) -> str:
    """A `Table` of BigQuery's REST API (v2) without its name, as JSON."""
    fields = [
        {
            "name": column.name,
            "type": _API_TYPES.get(column.type, column.type),
            "mode": "NULLABLE",
            "description": column.description,
        }
        for column in shape.columns
    ]
    resource = {
        "timePartitioning": {"type": "DAY", "field": shape.partition_by},
        "clustering": {"fields": shape.cluster_by},
        "schema": {"fields": fields},
    }
    return json.dumps(resource, indent=2) + "\n"


def _variable(pipeline: Pipeline) -> str:
    """A variable with the parameters of the pipeline's jobs, in the layout of `terraform fmt`."""
    flags = [flag for flag in pipeline.flags if flag.in_template]
    names = [flag.name for flag in flags]
    unknown = (
        f"alltrue(flatten([for job in values(var.{pipeline.name}) : "
        f"[for name in keys(job) : contains({_list(names)}, name)]]))"
    )
    rules = [(unknown, f"{pipeline.name} has a parameter that is none of {', '.join(names)}.")]
    rules += [_rule(pipeline, flag, pattern) for flag in flags for pattern in template.regexes(flag)]
    return "\n".join(
        [
            f'variable "{pipeline.name}" {{',
            "  description = <<-EOT",
            f"    Parameters of the jobs that run {pipeline.name}, by the job's name.",
            *(f"    - {flag.name}: {_literal(template.help_text(flag))}" for flag in flags),
            "  EOT",
            "  type        = map(map(string))",
            "  default     = {}",
            "  nullable    = false",
            *(line for rule in rules for line in _validation(*rule)),
            "}",
            "",
        ]
    )


def _rule(pipeline: Pipeline, flag: Flag, pattern: str) -> tuple[str, str]:
    """What must hold of `flag` in every job that has it, and what is said where it does not."""
    jobs = f"for job in values(var.{pipeline.name})"
    condition = f"alltrue([{jobs} : can(regex({_string(pattern)}, job.{flag.name})) if can(job.{flag.name})])"
    remedy = f"one of {', '.join(flag.values)}" if flag.values else f"write one like {flag.example or flag.default}"
    return condition, f"{flag.name}: {remedy}."


def _validation(condition: str, message: str) -> list[str]:
    return [
        "",
        "  validation {",
        f"    condition     = {condition}",
        f"    error_message = {_string(message)}",
        "  }",
    ]


def _list(words: list[str]) -> str:
    return f"[{', '.join(map(_string, words))}]"


def _string(text: str) -> str:
    """A quoted string of Terraform's language; JSON's escapes are valid there."""
    return _literal(json.dumps(text))


def _literal(text: str) -> str:
    """`text` where Terraform would look for `${}` and `%{}`."""
    return text.replace("${", "$${").replace("%{", "%%{")
