"""Any value at any place of a configuration: faults in bounded lines and time, no exception."""

from __future__ import annotations

import datetime
import math
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from arielflow.core.config import read_config
from arielflow.core.errors import ArielflowError
from arielflow.runs.config_faults import config_faults
from arielflow.runs.inputs import run_faults

ROOT = Path(__file__).parents[2]
DEFAULT = read_config(ROOT / "config.yaml")
Place = tuple[str | int, ...]

MOST_SECONDS, LONGEST_LINE = 5, 1000
SAMPLED = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=250,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

NESTED: list[Any] = []
for _ in range(60):
    NESTED = [NESTED, {"a": NESTED[:1]}]
UNUSABLE = (math.nan, math.inf, -math.inf, 2**70, -(2**70))
HOSTILE: tuple[Any, ...] = (
    *UNUSABLE,
    *(-1, 0, 1, 1e9, 1e-300, -0.0, 2**63, True, False, None),
    *("", "x", "tiny\n", "1e-3", ".nan", "~", "a" * 100_000, "[/] [bold]x[/bold]", "\x1b[2J\x07"),
    *("../..", "{x}", "{{", "%s %d", "\ud800", "\u202e", "\x00", "s3://", "é" * 300, "/dev/zero"),
    *([], {}, [[]], [None], {"": None}, {1: 2}, {None: {}}, [1] * 1000, NESTED),
    *(datetime.date(2026, 1, 1), datetime.datetime(2026, 1, 1), b"bytes", {1, 2}),
)


def _places(part: Any, above: Place = ()) -> list[Place]:
    """Every place of a configuration below its top."""
    items: Any = ()
    if isinstance(part, dict):
        items = part.items()
    elif isinstance(part, list):
        items = enumerate(part)
    return [p for key, below in items for p in [(*above, key), *_places(below, (*above, key))]]


def _at(config: Any, place: Place) -> Any:
    for key in place:
        config = config[key]
    return config


def _with(place: Place, value: Any) -> dict[str, Any]:
    config = deepcopy(DEFAULT)
    _at(config, place[:-1])[place[-1]] = value
    return config


PLACES = _places(DEFAULT)
# Settings of models that a run does not have are looked at when it has them.
UNUSED = [("representation", "settings"), ("disentangle", "settings")]
LEVELS = [(), *(p for p in PLACES if isinstance(_at(DEFAULT, p), dict) and p not in UNUSED)]
NUMBERS = [p for p in PLACES if type(_at(DEFAULT, p)) in (int, float)]
# Anything but a size or a share.
SIGNED = {("importance", "fallback", "pareto_shape")}


def _faults(config: dict[Any, Any]) -> list[str]:
    """Whatever the checks of a run's start find, as lines that fit a screen."""
    start = time.process_time()
    faults = config_faults(config) or run_faults(deepcopy(config))
    assert time.process_time() - start < MOST_SECONDS
    assert isinstance(faults, list)
    for fault in faults:
        assert fault.isprintable() and len(fault) <= LONGEST_LINE, fault
    return faults


def test_the_default_configuration_has_no_faults() -> None:
    assert _faults(DEFAULT) == []
    assert len(PLACES) > 80 and len(NUMBERS) > 25


VALUES = st.sampled_from(HOSTILE) | st.text(max_size=60) | st.integers() | st.floats()


@SAMPLED
@given(place=st.sampled_from(PLACES), value=VALUES)
def test_any_value_anywhere_gives_lines(place: Place, value: Any) -> None:
    _faults(_with(place, value))


@pytest.mark.slow
@pytest.mark.parametrize("section", DEFAULT)
def test_every_hostile_value_at_every_place_gives_lines(section: str) -> None:
    for place in PLACES:
        if place[0] == section:
            for value in HOSTILE:
                _faults(_with(place, value))


@SAMPLED
@given(
    level=st.sampled_from(LEVELS),
    key=st.sampled_from([v for v in HOSTILE if isinstance(v, str | int | float | None)])
    | st.text(max_size=30),
    value=VALUES,
)
def test_unknown_keys_at_any_level_are_refused(level: Place, key: Any, value: Any) -> None:
    config = deepcopy(DEFAULT)
    below = _at(config, level)
    if key not in below:
        below[key] = value
        assert _faults(config), (level, key, value)


@pytest.mark.parametrize("place", NUMBERS, ids=lambda place: ".".join(map(str, place)))
def test_numbers_that_no_run_can_use_are_refused(place: Place) -> None:
    negative = () if place in SIGNED else (-1, -1.0, -1e-9)
    for value in (*UNUSABLE, *negative):
        assert _faults(_with(place, value)), value


@SAMPLED
@given(content=st.text(max_size=400))
@example(content="&a [*a]")
@example(content="a: &a [1]\nb: [*a, *a]")
@example(content="{? [1]: 2}")
@example(content="- 1")
@example(content="!!python/object/apply:os.system ['true']")
@example(content="a: !!timestamp 2026-99-99")
@example(content="[" * 5000)
@example(content="a: 1\na: 2\n<<: 3")
@example(content="\ufeffrun: x")
@example(content="x: " + "9" * 5000)
@example(content="x: 1:" + "59:" * 3000 + "1")
@example(content="x: 0b" + "1" * 5000)
def test_any_text_as_a_configuration_is_refused_or_read(content: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(content.encode(errors="surrogatepass"))
    try:
        config = read_config(path)
    except ArielflowError as error:
        assert str(error).isprintable() and len(str(error)) <= LONGEST_LINE, error
    else:
        assert isinstance(config, dict)
        _faults(DEFAULT | config)
