"""The tree of errors in `errors.py`, and what a command ends with for each."""

from __future__ import annotations

import re

from wharf.model import errors


def test_every_error_is_in_the_tree_of_the_docstring_with_its_exit_code() -> None:
    tree = dict(re.findall(r"\+- (\w+) .*exit (\d)", errors.__doc__ or ""))
    raised = {kind.__name__: str(kind.exit_code) for kind in errors.WharfError.__subclasses__()}
    assert tree == raised


def test_an_error_without_a_code_of_its_own_is_a_failure() -> None:
    assert errors.WharfError.exit_code == errors.RunFailed.exit_code == 1
