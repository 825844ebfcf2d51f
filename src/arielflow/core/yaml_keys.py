"""YAML without repeated keys, whose first value would be dropped silently."""

from __future__ import annotations

from collections import Counter

import yaml

_MERGE = "tag:yaml.org,2002:merge"


class UniqueKeyLoader(yaml.SafeLoader):  # type: ignore[misc] # PyYAML has no types
    """The safe loader, which refuses a mapping with a repeated key."""

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        """Compose a mapping.

        Raises
        ------
        ValueError
            A key stands in it more than once.
        """
        node = super().compose_mapping_node(anchor)
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        counts = Counter(key.value for key in keys if key.tag != _MERGE)
        for key in reversed(keys):
            if counts[key.value] > 1:
                raise ValueError(
                    f"key {key.value[:80]!r} occurs more than once, last in line "
                    f"{key.start_mark.line + 1}"
                )
        return node
