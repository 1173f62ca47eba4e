"""YAML of people and strangers (recipes, overrides, classes, studies): plain data in bounded memory, or one line.

PyYAML's own safe loader runs no code, but meets a text such as `!!int x`, `2024-02-30` or 3,000 brackets with a
ValueError, a KeyError or a RecursionError from its inside, and hands on anchors that stand for gigabytes.
"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from atonce.text import words_of

MOST_CHARACTERS = 1_000_000
MOST_NODES = 100_000
"""Values of a document, those that an alias repeats counted once more each time."""

MOST_DEPTH = 50
MOST_BITS = 1024
"""The longest whole number that is taken; Python itself writes out none of more than 4300 digits."""


class YamlProblem(ValueError):
    """A text that is no YAML, or none that is taken. Its message is one line."""


def parse_yaml(text: str, *, unique_keys: bool = False) -> Any:
    """Parse one YAML document into None, bool, int, float, str, list and dict.

    Dates are text: they are file names, class names and folders, and nothing here counts days.

    Args:
        unique_keys: refuse a mapping that has a key twice, of which the last would count.

    Raises:
        YamlProblem: not YAML, values that are not what their tag says, or too large, too deep, too many.
    """
    if len(text) > MOST_CHARACTERS:
        raise YamlProblem(f"{len(text):,} characters are more than {MOST_CHARACTERS:,}")
    loader = None
    try:
        loader = _Loader(text)
        loader.unique_keys = unique_keys
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, {}) > MOST_NODES:
            raise YamlProblem(f"its aliases stand for more than {MOST_NODES:,} values")
        return loader.construct_document(node)
    except YamlProblem:
        raise
    except yaml.YAMLError as error:
        raise YamlProblem(words_of(error, 500)) from None
    # The constructors of the single tags (!!int, !!bool, !!timestamp, ...) fail in their own ways.
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        reason = words_of(error)
        raise YamlProblem(f"a value that cannot be read ({type(error).__name__}: {reason})") from None
    finally:
        if loader:
            loader.dispose()


def read_yaml(path: Path, encoding: str = "utf-8") -> Any:
    """Parse a YAML file, see `parse_yaml`.

    Raises:
        OSError, UnicodeDecodeError: it cannot be read, or is not text.
        YamlProblem: as `parse_yaml`.
    """
    with path.open(encoding=encoding) as file:
        return parse_yaml(file.read(MOST_CHARACTERS + 1))


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with a limit on depth, and without dates."""

    depth, unique_keys = 0, False

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise YamlProblem(f"it is nested more than {MOST_DEPTH} deep")
        try:
            node: yaml.Node | None = super().compose_node(parent, index)
            return node
        finally:
            self.depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002
        seen = set()
        for key, _ in node.value if self.unique_keys else ():
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key)
            if name in seen:
                raise YamlProblem(f"the key '{key.value}' is there twice; to merge classes write a list")
            seen.add(name)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        number: int = super().construct_yaml_int(node)
        if number.bit_length() > MOST_BITS:
            # Hexadecimal or by sixties: Python itself refuses to write such a number out, in a message as well.
            raise YamlProblem(f"a whole number of {number.bit_length()} bits")
        return number


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)

_DATE = "tag:yaml.org,2002:timestamp"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _DATE]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """Count the values that a node stands for. Raises YamlProblem: it holds itself."""
    if id(node) in known:
        if not known[id(node)]:
            raise YamlProblem("an alias stands for what it is in")
        return known[id(node)]
    if isinstance(node, yaml.ScalarNode):
        return 1
    known[id(node)] = 0
    pairs = [child for pair in node.value for child in pair] if isinstance(node, yaml.MappingNode) else node.value
    known[id(node)] = 1 + sum(_size(child, known) for child in pairs)
    return known[id(node)]
