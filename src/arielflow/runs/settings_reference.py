"""Schema and reference page of the configuration, made from the settings' classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from pydantic import BaseModel

from arielflow.settings.best_fit import FitSettings
from arielflow.settings.families import FAMILIES, family_config
from arielflow.settings.families._density import DensityConfig
from arielflow.settings.frame_run import FrameRunConfig
from arielflow.settings.nested import NestedSettings
from arielflow.settings.nodes import NodeSettings
from arielflow.settings.representations import REPRESENTATIONS, representation_config
from arielflow.settings.run import RunConfig
from arielflow.settings.training import TrainingSettings

Schema = dict[str, Any]

_MADE = "Made by `make schema` from src/arielflow/settings: edit what stands there."
_TRAINING = "#/$defs/training"
_KINDS = {"boolean": "true or false", "string": "text", "object": "mapping", "array": "list"}
# Representations that show what their families' settings are.
_SHOWN = ("variational_autoencoder", "factor")
_IN_PYTHON = {
    "Nested sampling": NestedSettings,
    "Best fits": FitSettings,
    "Nodes of the fast mode": NodeSettings,
}


def run_schema() -> Schema:
    """JSON schema of a configuration, the settings of every model included."""
    root = _inlined(RunConfig)
    root.pop("description")
    model = root["properties"]["model_settings"]
    places = {family: {"$ref": f"#/$defs/{family}"} for family in FAMILIES}
    model["additionalProperties"]["allOf"] = [
        {
            "if": {"properties": {"family": {"const": family}}, "required": ["family"]},
            "then": {"properties": {"settings": place}},
        }
        for family, place in places.items()
    ]
    model["allOf"] = [
        {
            "properties": {
                family: {
                    "if": {"not": {"required": ["family"]}},
                    "then": {"properties": {"settings": place}},
                }
            }
        }
        for family, place in places.items()
    ]
    for section, family in (("representation", "autoencoder"), ("disentangle", "disentangled")):
        settings = root["properties"][section]["properties"]["settings"]
        settings.pop("additionalProperties", None)
        settings["$ref"] = f"#/$defs/{family}"
    kinds = {"training": TrainingSettings} | {name: family_config(name) for name in FAMILIES}
    kinds |= {REPRESENTATIONS[name][0]: representation_config(name)[0] for name in _SHOWN}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "arielflow configuration",
        "description": " ".join((RunConfig.__doc__ or "").split()),
        **root,
        "$defs": {name: _inlined(kind) for name, kind in kinds.items()},
    }


def frame_run_schema() -> Schema:
    """JSON schema of a configuration of an edition with detector frames.

    What the default run says for the other editions is not looked at.
    """
    root = _inlined(FrameRunConfig)
    description = root.pop("description")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "arielflow configuration, detector frames",
        "description": description,
        **root,
    }


def schema_text(schema: Schema) -> str:
    """A schema as its file holds it."""
    content = yaml.safe_dump(schema, sort_keys=False, allow_unicode=True, width=100)
    return f"# {_MADE}\n{content}"


def reference_text(default: Mapping[str, Any]) -> str:
    """The reference page in Markdown: every setting with its default, its range and its meaning.

    Parameters
    ----------
    default
        The default run's configuration.
    """
    schema = run_schema()
    lines = [
        "# Every setting",
        "",
        f"<!-- {_MADE} -->",
        "",
        "What a configuration may say; [configuration](configuration.md) tells how to use it. The"
        " default of the run's own keys is what the default run, `config.yaml`, has.",
        "",
        "## The run",
        "",
    ]
    keys = dict(schema["properties"])
    model = keys.pop("model_settings")["additionalProperties"]
    sections = {name: node for name, node in keys.items() if "properties" in node}
    plain = {name: node for name, node in keys.items() if name not in sections}
    lines += _table({"properties": plain}, default)
    for name, section in sections.items():
        lines += ["", f"## {name}", "", section["description"], ""]
        lines += _table(section, default[name])
    lines += ["", "## model_settings", "", f"{model['description']} By the model's name.", ""]
    lines += _table(model)
    density = _inlined(DensityConfig)
    lines += ["", "### Settings of every family with a density", "", *_table(density)]
    for family in FAMILIES:
        own = schema["$defs"][family]
        shared = issubclass(family_config(family), DensityConfig)
        known = density["properties"] if shared else {}
        more = {name: node for name, node in own["properties"].items() if known.get(name) != node}
        lines += ["", f"### Settings of {family}", "", own["description"], ""]
        lines += _table({"properties": more})
    for name, title in (
        ("training", "Settings of a training"),
        ("autoencoder", "Settings of the autoencoders (`representation.settings`)"),
        ("disentangled", "Settings without nuisance factors (`disentangle.settings`)"),
    ):
        lines += ["", f"## {title}", "", schema["$defs"][name]["description"], ""]
        lines += _table(schema["$defs"][name])
    frames = frame_run_schema()["properties"]["frames"]
    lines += ["", "## frames", "", "Of the editions with detector frames alone.", ""]
    lines += _table(frames)
    lines += ["", "## Settings that Python alone can give"]
    for title, kind in _IN_PYTHON.items():
        lines += ["", f"### {title} (`{kind.__name__}`)", "", *_table(_inlined(kind))]
    return "\n".join(lines) + "\n"


def _inlined(kind: type[BaseModel]) -> Schema:
    """JSON schema of a class of settings, its parts in their places but for the trainings'."""
    schema = kind.model_json_schema()
    return _resolved(schema, schema.pop("$defs", {}))


def _resolved(node: Any, parts: Mapping[str, Schema]) -> Any:
    if isinstance(node, list):
        return [_resolved(item, parts) for item in node]
    if not isinstance(node, dict):
        return node
    name = node.get("$ref", "").rpartition("/")[2]
    if name == TrainingSettings.__name__:
        return {**node, "$ref": _TRAINING}
    if name:
        own = {key: value for key, value in node.items() if key != "$ref"}
        return _resolved(parts[name] | own, parts)
    found = {
        key: {k: _resolved(v, parts) for k, v in value.items()}
        if key == "properties"
        else _resolved(value, parts)
        for key, value in node.items()
        if key != "title"
    }
    if found.get("default", 0) is None and "anyOf" not in found:
        del found["default"]  # it stands for a setting that is left out
    if isinstance(found.get("description"), str):
        found["description"] = " ".join(found["description"].partition("\n\n")[0].split())
    return _nullable(found)


def _nullable(node: Schema) -> Schema:
    """A choice between a type and null, as one type."""
    choices = node.get("anyOf")
    if not choices or choices[-1] != {"type": "null"}:
        return node
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    return choices[0] | {"type": [choices[0]["type"], "null"]} | rest


def _table(schema: Schema, default: Mapping[str, Any] | None = None) -> list[str]:
    """Rows of a section's settings."""
    head = ["| setting | default | range | meaning |", "| --- | --- | --- | --- |"]
    return head + list(_rows(schema, default or {}, ""))


def _rows(schema: Schema, default: Mapping[str, Any], start: str) -> Iterator[str]:
    for name, node in schema["properties"].items():
        known = name in default or "default" in node
        value = default.get(name, node.get("default"))
        if "properties" in node:
            yield from _rows(node, value if isinstance(value, dict) else {}, f"{start}{name}.")
            continue
        cells = (
            f"`{start}{name}`",
            f"`{_flow(value)}`" if known else "",
            _range(node),
            node.get("description", ""),
        )
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        for below in node.get("patternProperties", {}).values():
            yield from _rows(below, {}, f"{start}{name}.<name>.")


def _flow(value: object) -> str:
    """A value as YAML writes it on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def _range(node: Schema) -> str:
    """Type and range of a setting in words."""
    if node.get("$ref") == _TRAINING:
        return "see [training](#settings-of-a-training)"
    if "$ref" in node:
        return "see below"
    kinds = node.get("type", "")
    kind, null = (kinds[0], " or null") if isinstance(kinds, list) else (kinds, "")
    if "enum" in node:
        return ", ".join(f"`{choice}`" for choice in node["enum"]) + null
    words = _KINDS.get(kind, kind)
    if kind == "array":
        inside = _range(node["items"])
        sizes = _span(node, "minItems", "maxItems")
        words = f"list of {inside}" + (f" ({sizes} items)" if sizes else "")
    bounds = _span(node, "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
    return " ".join(filter(None, [words, bounds])) + null


def _span(node: Schema, low: str, high: str, above: str = "", below: str = "") -> str:
    """Lowest and highest value, such as ``1 to 100`` or ``above 0, at most 1``."""
    if low in node and high in node:
        ends = [f"{node[key]:,g}" if node[key] < 1e15 else "2^63 - 1" for key in (low, high)]
        return ends[0] if ends[0] == ends[1] else " to ".join(ends)
    names = ((low, "at least"), (above, "above"), (high, "at most"), (below, "below"))
    return ", ".join(f"{words} {node[key]:,g}" for key, words in names if key in node)
