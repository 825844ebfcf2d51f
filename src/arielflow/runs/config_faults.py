"""What is wrong with a run's configuration, found before anything is computed.

Light on purpose: the Snakefile asks, and every job parses the Snakefile. Settings of models, whose
ranges stand beside the models, are asked of :mod:`arielflow.cli.check_settings` when a run starts.
"""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError, validators

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import listed, read_json, shown, unfolding_fault
from arielflow.runs.config_rules import cross_faults

FAULTS = 2
"""Exit status of the process that checks settings, where it finds faults."""

# Hundreds are many; what compares every item with every other must take no second.
_MOST_ENTRIES, _MOST_ITEMS, _LONGEST_TEXT = 5_000, 300, 4_000
_LARGEST_INTEGER = 2**63 - 1
_MOST_FAULTS = 20
_NAMES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}
# To JSON Schema 4.0 is an integer, to range() it is none.
_Validator = validators.extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)


def config_faults(config: Mapping[str, Any], schema: str | Path) -> list[str]:
    """What is wrong with a configuration, one line per fault; empty if nothing is.

    Parameters
    ----------
    config
        The merged configuration.
    schema
        YAML file of its JSON schema.
    """
    if fault := unfolding_fault(config, _MOST_ENTRIES):
        return [f"config: {fault}"]
    faults = list(_value_faults(config, ""))
    if not faults:
        # The loader in C is seven times as fast; the file is the project's own.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        rules = loader(Path(schema).read_text()).get_single_data()
        known = list(_key_paths(rules))
        errors = _Validator(rules).iter_errors(config)
        faults = sorted({line for error in errors for line in _lines(error, known)})
        settings = rules["properties"]["model_settings"]["additionalProperties"]["properties"]
        faults = faults or list(cross_faults(config, settings["family"]["enum"]))
    if len(faults) > _MOST_FAULTS:
        more = len(faults) - _MOST_FAULTS
        faults = [*faults[:_MOST_FAULTS], f"config: and {more} more faults like these"]
    return faults


def settings_faults(config: Mapping[str, Any], record: str | Path, code: str) -> list[str]:
    """What is wrong with the settings of models, one line per fault; takes seconds, once.

    Parameters
    ----------
    config
        A configuration without other faults.
    record
        Keeps what was checked, defaults included, so that only other settings or code are checked
        again.
    code
        Digest of the code that says which settings there are.
    """
    text = json.dumps(config, sort_keys=True, default=str)
    digest = hashlib.sha256(f"{code} {text}".encode()).hexdigest()
    if _recorded(record) == digest:
        return []
    # The models bring hundreds of megabytes, which the head of a run has no other use for.
    command = [sys.executable, "-m", "arielflow.cli.check_settings", str(record), digest]
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode == FAULTS:
        return done.stdout.splitlines()
    if done.returncode:
        reason = shown("".join(done.stderr.splitlines()[-1:]), 300)
        return [f"config: the settings of models could not be checked ({reason})"]
    return []


def _recorded(record: str | Path) -> str | None:
    try:
        return read_json(record)["digest"]
    except (ArielflowError, LookupError, TypeError):  # none yet, or another program's
        return None


def _value_faults(part: object, where: str) -> Iterator[str]:
    """Values that no entry may have, whatever its place."""
    start = f"config: {where or 'top level'}"
    if isinstance(part, Mapping):
        for key, value in part.items():
            if not isinstance(key, str):
                yield f"{start}: the key {shown(repr(key))} is no text; write it in quotes"
            elif not key.isprintable():
                yield f"{start}: the key {shown(ascii(key))} holds what does not print; mend it"
            else:
                yield from _value_faults(value, f"{where}.{shown(key)}".lstrip("."))
    elif isinstance(part, list):
        if len(part) > _MOST_ITEMS:
            yield f"{start}: {len(part)} items, expected at most {_MOST_ITEMS}"
            return
        for number, value in enumerate(part):
            yield from _value_faults(value, f"{where}.{number}".lstrip("."))
    elif isinstance(part, float) and not math.isfinite(part):
        yield f"{start}: found {part}, expected a finite number"
    elif isinstance(part, int) and abs(part) > _LARGEST_INTEGER:
        yield f"{start}: an integer of {part.bit_length()} bits, expected at most 63"
    elif isinstance(part, str) and len(part) > _LONGEST_TEXT:
        yield f"{start}: text of {len(part)} characters, expected at most {_LONGEST_TEXT}"
    elif isinstance(part, str) and not part.isprintable():
        yield (
            f"{start}: {shown(ascii(part))} holds a line break or another character that does not "
            "print; write it without"
        )


def _lines(error: ValidationError, known: list[str]) -> Iterator[str]:
    """A fault that the schema found, in words."""
    where = ".".join(shown(part) for part in error.absolute_path)
    start = f"config: {where or 'top level'}"
    if error.validator == "additionalProperties":
        valid = sorted(error.schema["properties"])
        for key in islice(sorted(set(error.instance) - set(valid), key=str), _MOST_FAULTS + 1):
            meant = _meant(where, str(key), valid, known)
            yield (f"{start}: unknown key {shown(repr(key))}{meant}; choose {', '.join(valid)}")
        return
    found, expected = shown(repr(error.instance)), error.validator_value
    texts = {
        "type": lambda: f"found {found}, expected {_kinds(expected)}{_number(error)}",
        "enum": lambda: f"found {found}, expected one of {listed(expected, 20)}",
        "required": lambda: shown(error.message, 200),
        "minimum": lambda: f"found {found}, expected at least {expected}",
        "exclusiveMinimum": lambda: f"found {found}, expected above {expected}",
        "maximum": lambda: f"found {found}, expected at most {expected}",
        "pattern": lambda: f"found {found}, expected text that matches {expected}",
        "maxLength": lambda: f"{len(error.instance)} characters, expected at most {expected}",
        "maxItems": lambda: f"{len(error.instance)} items, expected at most {expected}",
        "minItems": lambda: f"{len(error.instance)} items, expected at least {expected}",
        "uniqueItems": lambda: f"found {found}, expected every item once",
    }
    meaning = error.schema.get("description", "")
    text = texts.get(error.validator, lambda: shown(error.message, 200))()
    yield f"{start}: {text}" + (f" ({meaning})" if meaning else "")


def _kinds(names: str | list[str]) -> str:
    return " or ".join(_NAMES[name] for name in ([names] if isinstance(names, str) else names))


def _number(error: ValidationError) -> str:
    """How to write a number that YAML reads as text, such as 1e-3."""
    if not isinstance(error.instance, str) or error.validator_value not in ("integer", "number"):
        return ""
    try:
        value = float(error.instance)
    except ValueError:
        return ""
    if not math.isfinite(value):
        return ""
    text = f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.6g}"
    mantissa, _, exponent = text.partition("e")
    if exponent:  # to YAML a number only with a point
        text = f"{mantissa if '.' in mantissa else mantissa + '.0'}e{exponent}"
    return f"; it is text, write {text}"


def _key_paths(rules: Mapping[str, Any], start: str = "") -> Iterator[str]:
    """Every key that the schema knows, with the keys above it."""
    for name, rule in rules.get("properties", {}).items():
        yield start + name
        yield from _key_paths(rule, f"{start}{name}.")
        if isinstance(below := rule.get("additionalProperties"), Mapping):
            yield from _key_paths(below, f"{start}{name}.<name>.")


def _meant(where: str, key: str, valid: list[str], known: list[str]) -> str:
    """The key probably meant by an unknown one: a similar one here, or one elsewhere."""
    word = key[:80]
    here = f"{where}." if where else ""
    if close := get_close_matches(word, valid, 1, 0.75):
        return f", did you mean {here}{close[0]}"
    if where.startswith("model_settings."):
        inside = f", a setting of the model is written {here}settings.{shown(key)}"
        deeper = f", of its training {here}settings.training.{shown(key)}"
        return inside + (deeper if key != "training" else "")
    leaves: dict[str, list[str]] = {}
    for path in known:
        leaves.setdefault(path.rpartition(".")[2], []).append(path)
    places = leaves.get(word) or [
        place for name in get_close_matches(word, leaves, 1, 0.75) for place in leaves[name]
    ]
    return f", did you mean {' or '.join(places[:3])}" if places else ""
