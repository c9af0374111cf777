"""Telling of a flag that nobody knows before what is missing: it is often why something is."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator
from contextlib import contextmanager

from wharf.launch.parser import Parser, known_flags, refuse
from wharf.launch.running.request import DATAFLOW
from wharf.model.errors import UsageError


@contextmanager
def unknown_flags_first(arguments: argparse.Namespace) -> Iterator[None]:
    """Raise, where the block refuses a command line, what is unknown in it together with the block's error.

    Which words are options of Beam only Beam knows, which takes seconds to import: it is asked if there is an error. A
    job on Dataflow has no such options.

    Raises: UsageError.
    """
    from wharf.connectors.endpoints import Endpoints
    from wharf.model.flags import Flag, add_flags
    from wharf.model.launching.pipelines import PIPELINES

    named = PIPELINES.get(getattr(arguments, "name", ""))
    flags = {flag.name: flag for pipeline in PIPELINES.values() if named in (None, pipeline) for flag in pipeline.flags}
    parser = Parser(prog=arguments.parser.prog, add_help=False)
    add_flags(parser, list(flags.values()), given_only=True)
    words = parser.parse_known_args(arguments.rest)[1]
    if words and getattr(arguments, "target", "") == DATAFLOW:
        refuse(arguments.parser, words, flags)
    try:
        yield
    except UsageError as error:
        if not words:
            raise
        own = [Flag(name=name, help="") for name in known_flags(arguments.parser)]
        try:
            importlib.import_module("pipelines.command_line").beam_options(
                words, [*flags.values(), *own], Endpoints.resolve()
            )
        except UsageError as unknown:
            raise UsageError(f"{str(unknown).removesuffix('; see --help')}; {error}") from error
        raise
