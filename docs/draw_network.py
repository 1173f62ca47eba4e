"""Draw docs/network.svg, the picture of FCN-8s: what is scored, scaled, fused and upsampled, with channels and strides.

    python docs/draw_network.py > docs/network.svg

The numbers are the code's own (blocks, pools that are scored, scales); a test holds the file against this script.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from html import escape

from atonce.model.fcn import AT_ONCE
from atonce.model.vgg import BLOCKS
from atonce.recipes import FCNConfig

WIDTH, HEIGHT = 1064, 572
TRUNK_Y, FUSION_Y = 160, 442
"""Heights of the two rows: the trunk from left to right, the scores from right to left."""

IMAGE_X, IMAGE_SIZE = 34, (144, 108)

BAR_HEIGHTS = (132, 108, 88, 70, 54, 40)
"""Of feature maps at stride 1, 2, 4, ... 32: smaller at each, though not by half, which nobody could see."""

BAR_WIDTHS = {64: 8, 128: 11, 256: 14, 512: 18, 4096: 34}
"""By channels."""

STYLE = """
  .card { fill: #ffffff; stroke: #d0d7de; }
  text { font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; font-size: 13px; fill: #1f2328; }
  .small { font-size: 11.5px; fill: #59636e; }
  .name { font-weight: 600; }
  .conv { fill: #9cc3ee; stroke: #2f6fb3; }
  .pool { fill: #f4b8a8; stroke: #b5533c; }
  .head { fill: #b9ddb4; stroke: #3f8a3a; }
  .score { fill: #e3d7f5; stroke: #7a52b3; }
  .scale { fill: #ffd873; stroke: #a87400; }
  .up { fill: #f1f3f5; stroke: #8b949e; }
  .line { fill: none; stroke: #59636e; stroke-width: 1.6; }
  .tip { fill: #59636e; }
  @media (prefers-color-scheme: dark) {
    .card { fill: #0d1117; stroke: #3d444d; }
    text { fill: #e6edf3; }
    .small { fill: #9ea7b3; }
    .conv { fill: #2c5a8f; stroke: #79b0ec; }
    .pool { fill: #8c3f2c; stroke: #f0a28e; }
    .head { fill: #2f6a2b; stroke: #8fd088; }
    .score { fill: #4d3678; stroke: #bb9af0; }
    .up { fill: #262c36; stroke: #9ea7b3; }
    .line { stroke: #9ea7b3; }
    .tip { fill: #9ea7b3; }
    text.on-scale { fill: #1f2328; }
  }
"""


def draw() -> str:
    """Return the picture as the text of an SVG file."""
    parts = "\n".join(f"  {part}" for part in _parts())
    title = "FCN-8s: VGG-16, scores of fc7, pool4 and pool3, fused and upsampled to the size of the image"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img">\n'
        f"  <title>{title}</title>\n"
        f"  <style>{STYLE}  </style>\n{parts}\n</svg>\n"
    )


def _parts() -> Iterator[str]:
    yield f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="10"/>'
    yield from scene(TRUNK_Y, labels=False)
    yield text(IMAGE_X + IMAGE_SIZE[0] / 2, 46, "image", "name")
    yield text(IMAGE_X + IMAGE_SIZE[0] / 2, 63, "H × W, RGB 0..255", "small")

    x = IMAGE_X + IMAGE_SIZE[0]
    pool_x: dict[int, float] = {}
    for number, (channels, count) in enumerate(BLOCKS, 1):
        gap, bar = (44, 66, 62, 72, 72)[number - 1], BAR_WIDTHS[channels]
        yield arrow((x + 6, TRUNK_Y), (x + gap - 6, TRUNK_Y))
        x += gap
        middle = x + (count * (bar + 4) - 4) / 2
        yield text(middle, 46, f"conv{number}", "name")
        yield text(middle, 63, f"{count} × (3×3, {channels})", "small")
        for _ in range(count):
            yield box("conv", x, TRUNK_Y, bar, BAR_HEIGHTS[number - 1], rx=2)
            x += bar + 4
        yield box("pool", x, TRUNK_Y, bar, BAR_HEIGHTS[number], rx=2)
        pool_x[number] = x + bar / 2
        x += bar
    scored = {f"pool{pool}": pool_x[pool] for pool in FCNConfig(stride=8).skips}
    scales = dict(zip(scored, AT_ONCE, strict=True))
    for number, middle in pool_x.items():
        skip = f"pool{number}" in scored
        anchor, left = ("start", middle + 9) if skip else ("middle", middle)
        yield text(left, 252, f"pool{number}", "name", anchor)
        yield text(left, 268, f"1/{2**number}", "small", anchor)

    gap, bar = 50, BAR_WIDTHS[4096]
    yield arrow((x + 6, TRUNK_Y), (x + gap - 6, TRUNK_Y))
    x += gap
    for name, kernel in (("fc6", "7×7"), ("fc7", "1×1")):
        yield box("head", x, TRUNK_Y, bar, BAR_HEIGHTS[5], rx=2)
        yield text(x + bar / 2, 46, name, "name")
        yield text(x + bar / 2, 63, f"{kernel}, 4096", "small")
        x += bar + 52
    scored["fc7"] = x - 52 - bar / 2
    yield arrow((x - 52 - bar - 52 + 5, TRUNK_Y), (x - 52 - bar - 5, TRUNK_Y))
    yield text(scored["fc7"] + 9, 252, "fc7", "name", "start")
    yield text(scored["fc7"] + 9, 268, "1/32", "small", "start")

    yield from _scores(scored, scales)
    yield from _fusion([scored["fc7"], scored["pool4"], scored["pool3"]])
    yield from _legend()


def _scores(columns: dict[str, float], scales: dict[str, float]) -> Iterator[str]:
    """Draw what lies between the trunk and the fusion: the scale, where there is one, and the 1x1 score layer."""
    for name, x in columns.items():
        top = TRUNK_Y + BAR_HEIGHTS[5 if name == "fc7" else int(name[-1])] / 2 + 5
        if name in scales:
            yield line((x, top), (x, 287))
            yield box("scale", x - 46, 301, 92, 28, rx=14)
            yield text(x, 305.5, f"× {scales[name]:g}", "name on-scale")
            top = 315
        yield arrow((x, top), (x, 336))
        yield box("score", x - 54, 357, 108, 40, rx=5)
        yield text(x, 354, f"score {name}", "name")
        yield text(x, 370, "1×1 → C classes", "small")


def _fusion(columns: list[float]) -> Iterator[str]:
    """Draw the row of scores, from the coarsest at the right to the image's size at the left."""
    fc7, *skips = columns
    yield line((fc7, 378), (fc7, FUSION_Y))
    right, variants = fc7, {16: "FCN-16s", 8: ""}
    yield text(fc7, FUSION_Y + 28, "1/32", "small")
    yield text(fc7, FUSION_Y + 45, "FCN-32s: × 32 from here", "small")
    for stride, x in zip(variants, skips, strict=True):
        yield from upsample((right + x) / 2, right if right == fc7 else right - 14, x + 14, "× 2")
        yield arrow((x, 378), (x, FUSION_Y - 15))
        yield f'<circle class="up" cx="{x:g}" cy="{FUSION_Y}" r="13"/>'
        yield line((x - 7, FUSION_Y), (x + 7, FUSION_Y)) + line((x, FUSION_Y - 7), (x, FUSION_Y + 7))
        yield text(x, FUSION_Y + 28, f"1/{stride}", "small")
        if variants[stride]:
            yield text(x, FUSION_Y + 45, f"{variants[stride]}: × {stride} from here", "small")
        right = x
    left = IMAGE_X + IMAGE_SIZE[0]
    yield from upsample((right + left) / 2 + 4, right - 14, left + 8, "× 8")
    yield from scene(FUSION_Y, labels=True)
    yield text(IMAGE_X + IMAGE_SIZE[0] / 2, FUSION_Y - 80, "logits", "name")
    yield text(IMAGE_X + IMAGE_SIZE[0] / 2, FUSION_Y - 64, "C × H × W; argmax: labels", "small")


def _legend() -> Iterator[str]:
    """Explain the colours at the bottom."""
    y = HEIGHT - 26
    for x, kind, words in (
        (IMAGE_X, "conv", "convolution, ReLU"),
        (IMAGE_X + 146, "pool", "max pooling, 2×2"),
        (IMAGE_X + 286, "head", "fully connected made convolution, ReLU, dropout"),
        (IMAGE_X + 606, "scale", "fixed factor: all scores learn at once"),
        (IMAGE_X + 862, "up", "bilinear upsampling"),
    ):
        yield box(kind, x, y - 4, 12, 12, rx=2)
        yield text(x + 18, y, words, "small", "start")


def upsample(x: float, right: float, left: float, factor: str) -> Iterator[str]:
    """Draw an upsampling at x, with the lines from its right neighbour and to its left one."""
    yield line((right, FUSION_Y), (x + 30, FUSION_Y))
    yield box("up", x - 30, FUSION_Y, 60, 28, rx=5)
    yield text(x, FUSION_Y + 4.5, f"up {factor}", "name")
    yield arrow((x - 30, FUSION_Y), (left, FUSION_Y))


def scene(middle: float, *, labels: bool) -> Iterator[str]:
    """Draw a little street, as a photograph or as a map of labels in CamVid's colours."""
    width, height = IMAGE_SIZE
    x, y = IMAGE_X, middle - height / 2
    sky, building, tree, road, walk, car, marking = (
        ("#808080", "#800000", "#808000", "#804080", "#3c28de", "#400080", "#804080")
        if labels
        else ("#bcd9f2", "#c9a27e", "#5f9150", "#6f7378", "#b9b4ab", "#c0392b", "#f2f2f2")
    )
    shapes = (
        (sky, ((0, 0), (144, 0), (144, 70), (0, 70))),
        (building, ((0, 12), (34, 22), (34, 34), (52, 34), (52, 62), (0, 70))),
        (building, ((144, 4), (118, 16), (118, 30), (98, 38), (98, 60), (144, 68))),
        (walk, ((0, 108), (0, 70), (58, 58), (90, 58), (144, 68), (144, 108))),
        (road, ((8, 108), (66, 58), (82, 58), (136, 108))),
        (marking, ((71, 108), (73.2, 64), (74.8, 64), (77, 108))),
        (tree, ((84, 58), (84, 44), (80, 36), (84, 27), (92, 25), (98, 32), (97, 42), (88, 46), (88, 58))),
        (car, ((92, 82), (92, 73), (97, 72), (100, 66), (112, 66), (116, 72), (120, 74), (120, 83))),
    )
    yield f'<svg x="{x:g}" y="{y:g}" width="{width}" height="{height}" viewBox="0 0 144 108">'
    for colour, points in shapes:
        yield f'  <polygon fill="{colour}" points="{" ".join(f"{a:g},{b:g}" for a, b in points)}"/>'
    yield "</svg>"
    yield f'<rect x="{x:g}" y="{y:g}" width="{width}" height="{height}" rx="2" class="line"/>'


def box(kind: str, x: float, middle: float, width: float, height: float, *, rx: float) -> str:
    size = f'width="{width:g}" height="{height:g}" rx="{rx:g}"'
    return f'<rect class="{kind}" x="{x:g}" y="{middle - height / 2:g}" {size}/>'


def text(x: float, y: float, words: str, kind: str, anchor: str = "middle") -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def line(start: tuple[float, float], end: tuple[float, float]) -> str:
    return f'<path class="line" d="M{start[0]:g},{start[1]:g} L{end[0]:g},{end[1]:g}"/>'


def arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    """Draw a line with a tip at its end; horizontal or vertical."""
    (x, y), sideways = end, start[1] == end[1]
    back = -8 if (end > start if sideways else end[1] > start[1]) else 8
    if sideways:
        corners = ((x, y), (x + back, y - 4), (x + back, y + 4))
        shaft = (x + back, y)
    else:
        corners = ((x, y), (x - 4, y + back), (x + 4, y + back))
        shaft = (x, y + back)
    points = " ".join(f"{a:g},{b:g}" for a, b in corners)
    return f'{line(start, shaft)}<polygon class="tip" points="{points}"/>'


if __name__ == "__main__":
    sys.stdout.write(draw())
