"""Commands, configuration keys, and files and variables of a run are those on record."""

from __future__ import annotations

import json
from pathlib import Path

import interface
import pytest

RECORDED = json.loads(interface.RECORD.read_text())


def test_commands_and_their_options_are_those_on_record() -> None:
    assert interface.commands() == RECORDED["commands"]


def test_configuration_keys_are_those_on_record() -> None:
    assert interface.config_keys() == RECORDED["config"]


@pytest.mark.parametrize("part", ["files", "variables"])
def test_a_run_has_the_files_and_variables_on_record(part: str, untouched_tiny: Path) -> None:
    found = {"files": interface.run_files, "variables": interface.variables}[part]
    assert found(untouched_tiny / "results/tiny") == RECORDED[part]
