"""The command line called in the test's own process, which starts faster than one of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from arielflow import cli


@pytest.fixture
def called(monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """Exit code, standard output and error of a call of the command line."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(cli, "heed_stops", lambda: None)  # pytest has handlers of its own
        monkeypatch.setattr(sys, "argv", ["arielflow", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return left.value.code, *capsys.readouterr()

    return call
