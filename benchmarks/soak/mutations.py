"""Mutations: small damage to a valid file, by bytes, by words of text, or in the structure of JSON."""

from __future__ import annotations

import json
import re
import struct
from random import Random
from typing import Any

_SIZES = (0, 1, 127, 128, 255, 256, 32767, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)

_WORDS = (
    "", "0", "-1", "1", "255", "256", "300", "1e308", "-1e308", "1e-320", "nan", ".inf", "-.inf", "9" * 30, "9" * 4400,
    "null", "~", "true", "yes", "[]", "{}", "[[]]", "''", "x", "x" * 300, "x" * 5000, "ä", "\u0000", "\x1b[31m",
    "../..", "/", "2024-02-30", "12:34:56", "!!int x", "!!bool x", "!!timestamp x", "!!python/object:os.system x",
    "&a [*a]", "*a",
    "0x10", "1_000", "0.1.2", "[" * 3000, "{" * 500, "- " * 50, "? x", "<<: *a", "%", "@", "`", "|", ">", "#", "'", '"',
    "\t", "\r", "\ufeff", "\ud7ff", "NaN", "Infinity",
)  # fmt: skip

_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 3, 255, 256, 300, 1e6, 1e308, -1e308, 0.5, float("nan"), float("inf"), 10**30, "", "x",
    "1", "x" * 300, "x/y", "../x", "\x1b[31mred", "\n", "\u0000", [], {}, [[]], [None], {"x": 1}, [1, 2, 3],
    [256, -1, 0], ["a", "a"], [["a"]], list(range(300)),
)  # fmt: skip

_WORD = re.compile(r"[^\s,:=\[\]{}]+")


def of_bytes(data: bytes, random: Random) -> bytes:
    """Change bytes, sizes, or the length; one to four times."""
    found = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4))):
        # Headers decide more than what they head.
        end = max(1, len(found) if random.random() < 0.5 else min(len(found), 400))
        at = random.randrange(end)
        kind = random.randrange(8)
        if kind == 0:
            found[at : at + 1] = bytes([random.randrange(256)])
        elif kind == 1:
            found[at : at + 1] = bytes([found[at] ^ (1 << random.randrange(8))]) if found else b"\0"
        elif kind == 2:
            size = struct.pack(random.choice("<>") + "Q", random.choice(_SIZES))
            width = random.choice((2, 4, 8))
            found[at : at + width] = size[:width] if random.random() < 0.5 else size[-width:]
        elif kind == 3:
            del found[at:]
        elif kind == 4:
            del found[at : at + random.randrange(1, 64)]
        elif kind == 5:
            found[at:at] = found[at : at + random.randrange(1, 200)]
        elif kind == 6:
            found[at:at] = random.randbytes(random.randrange(1, 40))
        else:
            other = random.randrange(end)
            found[at : at + 8], found[other : other + 8] = found[other : other + 8], found[at : at + 8]
    return bytes(found)


def of_text(data: bytes, random: Random) -> bytes:
    """Replace words, or take out, double or swap lines; now and then change bytes."""
    if random.random() < 0.1:
        return of_bytes(data, random)
    text = data.decode("utf-8", "replace")
    for _ in range(random.choice((1, 1, 2, 3))):
        lines = text.split("\n")
        at = random.randrange(len(lines))
        kind = random.randrange(6)
        words = list(_WORD.finditer(text))
        if kind < 3 and words:
            word = random.choice(words)
            text = text[: word.start()] + random.choice(_WORDS) + text[word.end() :]
        elif kind == 3:
            text = "\n".join(lines[:at] + lines[at + 1 :])
        elif kind == 4:
            text = "\n".join([*lines[:at], lines[at], *lines[at:]])
        else:
            text = "\n".join([*lines[:at], random.choice(_WORDS), *lines[at:]])
    return text.encode("utf-8", "surrogatepass")


def of_json(data: bytes, random: Random) -> bytes:
    """Replace, take out or add a value somewhere in the structure; now and then change the text."""
    if random.random() < 0.1:
        return of_text(data, random)
    try:
        parsed = json.loads(data)
    except ValueError:
        return of_text(data, random)
    for _ in range(random.choice((1, 1, 2))):
        parsed = _changed(parsed, random)
    return json.dumps(parsed).encode()


def of_json_lines(data: bytes, random: Random) -> bytes:
    """Change one line as JSON, or the lines as text."""
    lines = data.splitlines()
    if random.random() < 0.3 or not lines:
        return of_text(data, random)
    at = random.randrange(len(lines))
    lines[at] = of_json(lines[at], random)
    return b"\n".join(lines)


def of_safetensors(data: bytes, random: Random) -> bytes:
    """Change the header's JSON, the JSON in its texts among it, and leave the file whole; or change bytes."""
    if random.random() < 0.3 or len(data) < 8:
        return of_bytes(data, random)
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length])
        texts = header.get("__metadata__", {})
        nested = [key for key, text in texts.items() if text.startswith("{")]
        if nested and random.random() < 0.8:
            key = random.choice(nested)
            texts[key] = of_json(texts[key].encode(), random).decode("utf-8", "replace")
        else:
            header = _changed(header, random)
        new = json.dumps(header).encode()
    except (ValueError, AttributeError):
        return of_bytes(data, random)
    new += b" " * (-len(new) % 8)
    return len(new).to_bytes(8, "little") + new + data[8 + length :]


def _changed(node: Any, random: Random) -> Any:
    """Return the node with a change in it or below it."""
    below = list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
    if not below or random.random() < 0.15:
        return random.choice(_VALUES)
    key, value = random.choice(below)
    if random.random() < 0.6:
        node[key] = _changed(value, random)
    elif isinstance(node, dict) and random.random() < 0.5:
        node.pop(key)
    elif isinstance(node, list) and random.random() < 0.5:
        node.insert(key, random.choice(_VALUES))
    else:
        node[key] = random.choice(_VALUES) if random.random() < 0.95 else _deep(random)
    return node


def _deep(random: Random) -> Any:
    value: Any = 1
    for _ in range(random.choice((30, 400))):
        value = [value] if random.random() < 0.5 else {"x": value}
    return value
