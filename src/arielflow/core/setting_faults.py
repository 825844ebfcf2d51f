"""What is wrong with settings, in words: the same line for a configuration's and for Python's.

Places, ranges and meanings are those of the settings' classes.
"""

from __future__ import annotations

import math
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from arielflow.core.readers import listed, shown

_LONGEST_NAME = 80
_MOST_UNKNOWN = 20
_ALIKE = 0.75
_KINDS = {
    "int_type": "an integer",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "none_required": "null",
}
# Parts of a place that are no names: of a key, and of the types between which settings choose.
_MARKS = ("[key]", "[number]", "[text]", "[prior]", "[mapping]", "[list]")
_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}


class _Place(NamedTuple):
    """Where a fault is: what stands there may be None, and what it means."""

    nullable: bool
    meaning: str


def setting_faults(kind: type[BaseModel], settings: object, where: str = "") -> list[str]:
    """What is wrong with settings, one line per fault; empty if nothing is.

    Parameters
    ----------
    kind
        Their class.
    settings
        As configured.
    where
        They stand: a place such as ``chemistry.times``, a phrase, or nothing for a configuration.
    """
    try:
        kind.model_validate(settings)
    except ValidationError as error:
        return fault_lines(error, kind, where)
    return []


def fault_lines(error: ValidationError, kind: type[BaseModel], where: str = "") -> list[str]:
    """The faults that pydantic found in settings of a class, see :func:`setting_faults`."""
    lines, unknown = [], 0
    known = list(_key_paths(kind))
    for fault in error.errors(include_url=False):
        path = _place(fault)
        if fault["type"] == "extra_forbidden":
            unknown += 1
            if unknown > _MOST_UNKNOWN + 1:
                continue  # whoever asks shows fewer
        lines.append(_line(fault, path, kind, where, known))
    return list(dict.fromkeys(lines))


def _place(fault: Mapping[str, Any]) -> list[str | int]:
    """Where a fault is: without what pydantic adds for keys, and for one of several types."""
    path = list(fault["loc"])
    named = path[-1:] if fault["type"] in ("extra_forbidden", "missing") else []
    return [part for part in path[: len(path) - len(named)] if part not in _MARKS] + named


def _line(
    fault: Mapping[str, Any],
    path: list[str | int],
    kind: type[BaseModel],
    where: str,
    known: Sequence[str],
) -> str:
    found = shown(repr(fault["input"]))
    if fault["type"] == "extra_forbidden":
        *above, key = path
        return f"{_start(where, above)}: {_unknown(above, str(key), kind, known)}"
    if fault["type"] == "missing":
        *above, key = path
        meaning = _at(kind, path).meaning
        return f"{_start(where, above)}: {key!r} is missing" + (f" ({meaning})" if meaning else "")
    if fault["type"] == "invalid_key":
        *above, key = path
        return f"{_start(where, above)}: the key {shown(key)} is no text; write it in quotes"
    place, start = _at(kind, path), _start(where, path)
    if fault["type"] == "value_error":
        return f"{start}: {shown(fault['ctx']['error'], 400)}"
    text = _text(fault, found, place)
    return f"{start}: {text}" + (f" ({place.meaning})" if place.meaning else "")


def _text(fault: Mapping[str, Any], found: str, place: _Place) -> str:
    """What was found, and what was expected in its place."""
    kind, context, value = fault["type"], fault.get("ctx", {}), fault["input"]
    if kind in _KINDS:
        expected = _KINDS[kind] + (" or null" if place.nullable and kind != "none_required" else "")
        return f"found {found}, expected {expected}{_number(kind, value)}"
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return f"found {found}, expected {words} {context[bound]}"
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", context["expected"])
        return f"found {found}, expected one of {listed(choices, 30)}"
    if kind == "string_pattern_mismatch":
        return f"found {found}, expected text that matches {context['pattern']}"
    if kind == "finite_number":
        return f"found {found}, expected a finite number"
    if kind in ("too_long", "string_too_long"):
        return f"{_length(value)}, expected at most {context['max_length']}"
    if kind in ("too_short", "string_too_short"):
        return f"{_length(value)}, expected at least {context['min_length']}"
    message = shown(fault["msg"], 200)
    return f"found {found}, {message[:1].lower()}{message[1:]}"


def _length(value: Any) -> str:
    return f"{len(value)} {'characters' if isinstance(value, str) else 'items'}"


def _number(kind: str, value: object) -> str:
    """How to write a number that stands there as text, as YAML takes 1e-3 for text."""
    if not isinstance(value, str) or kind not in ("int_type", "float_type"):
        return ""
    try:
        number = float(value)
    except ValueError:
        return ""
    if not math.isfinite(number):
        return ""
    text = f"{number:.0f}" if number.is_integer() and abs(number) < 1e15 else f"{number:.6g}"
    mantissa, _, exponent = text.partition("e")
    if exponent:  # to YAML a number only with a point
        text = f"{mantissa if '.' in mantissa else mantissa + '.0'}e{exponent}"
    return f"; it is text, write {text}"


def _start(where: str, path: Sequence[str | int]) -> str:
    """A place in words; a phrase is followed by a colon, a place by a point."""
    inside = ".".join(shown(part) for part in path)
    if not inside:
        return where or "top level"
    return f"{where}{': ' if ' ' in where else '.'}{inside}" if where else inside


def _inner(annotation: Any) -> tuple[Any, bool]:
    """A type without the None that may stand in its place, and whether it may."""
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [_inner(kind)[0] for kind in get_args(annotation) if kind is not type(None)]
        # Of several types one with settings of its own: the others have nothing below them.
        chosen = next((kind for kind in kinds if hasattr(kind, "model_fields")), kinds[0])
        return chosen, len(kinds) < len(get_args(annotation))
    if hasattr(annotation, "__metadata__"):
        return _inner(get_args(annotation)[0])
    return annotation, False


def _at(kind: type[BaseModel], path: Sequence[str | int]) -> _Place:
    """What the settings' classes say of a place."""
    current, nullable, meaning = kind, False, ""
    for part in path:
        fields = getattr(current, "model_fields", {})
        if part in fields:
            field = fields[part]
            current, nullable = _inner(field.annotation)
            meaning = field.description or _summary(current)
        elif get_origin(current) is dict:
            current, nullable = _inner(get_args(current)[-1])
        elif get_origin(current) in (list, tuple):
            current, nullable = _inner(get_args(current)[0])
        else:
            break
    return _Place(nullable, meaning)


def _summary(kind: Any) -> str:
    """The first line of a class's own documentation."""
    return (kind.__doc__ or "").partition("\n")[0] if hasattr(kind, "model_fields") else ""


def _fields(kind: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """Names of the settings that may stand at a place."""
    current: Any = kind
    for part in path:
        fields = getattr(current, "model_fields", {})
        inner = fields[part].annotation if part in fields else get_args(current)[-1]
        current, _ = _inner(inner)
    return list(current.model_fields)


def _key_paths(kind: Any, start: str = "") -> Iterator[str]:
    """Every setting, with the names above it."""
    for name, field in kind.model_fields.items():
        yield start + name
        inner, _ = _inner(field.annotation)
        if hasattr(inner, "model_fields"):
            yield from _key_paths(inner, f"{start}{name}.")
        elif get_origin(inner) is dict:
            below, _ = _inner(get_args(inner)[-1])
            if hasattr(below, "model_fields"):
                yield from _key_paths(below, f"{start}{name}.<name>.")


def _unknown(
    above: Sequence[str | int], key: str, kind: type[BaseModel], known: Sequence[str]
) -> str:
    """An unknown key, the one that was meant if there is one, and the valid ones."""
    valid = _fields(kind, above)
    where = ".".join(shown(part) for part in above)
    meant = _meant(where, key, valid, known)
    return f"unknown key {shown(repr(key))}{meant}; valid settings are {', '.join(valid)}"


def _meant(where: str, key: str, valid: list[str], known: Sequence[str]) -> str:
    """Which key was meant by an unknown one: a like one here, the same or a like one elsewhere."""
    word = key[:_LONGEST_NAME]
    if close := get_close_matches(word, valid, 1, _ALIKE):
        return f", did you mean {close[0]}"
    here = f"{where}." if where else ""
    below = [path.removeprefix(here) for path in known if path.startswith(here)]
    if not (places := _alike(word, below)) and where.startswith("model_settings."):
        inside = f", a setting of the model is written {here}settings.{shown(key)}"
        deeper = f", of its training {here}settings.training.{shown(key)}"
        return inside + (deeper if key != "training" else "")
    places = places or _alike(word, known)
    return f", did you mean {' or '.join(places[:3])}" if places else ""


def _alike(word: str, paths: Sequence[str]) -> list[str]:
    """The paths that end in a word, or else in one that is like it."""
    leaves: dict[str, list[str]] = {}
    for path in paths:
        leaves.setdefault(path.rpartition(".")[2], []).append(path)
    return leaves.get(word) or [
        place for name in get_close_matches(word, leaves, 1, _ALIKE) for place in leaves[name]
    ]
