"""Drawing: SVG as text.

Decides how elements and paths are written. What they look like is up to `charts.css`.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

NAMESPACE: Final = "http://www.w3.org/2000/svg"

_NAMES: Final = {"class_": "class"}


def element(name: str, *children: str, **attributes: object) -> str:
    """An element; children are SVG already, values of attributes are not. `stroke_width` becomes `stroke-width`."""
    written = "".join(
        f' {_NAMES.get(key, key.replace("_", "-"))}="{escape(_value(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{written}>{''.join(children)}</{name}>" if children else f"<{name}{written}/>"


def text(content: str, x: float, y: float, class_: str = "", **attributes: object) -> str:
    """A line of text."""
    return element("text", escape(content), x=x, y=y, class_=class_ or None, **attributes)


def line(start: tuple[float, float], end: tuple[float, float], class_: str) -> str:
    """A straight line."""
    return element("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], class_=class_)


def path(points: Iterable[tuple[float, float]], class_: str, *, closed: bool = False) -> str:
    """A line through points, or the area inside of it."""
    steps = " L".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return element("path", d=f"M{steps}{' Z' if closed else ''}", class_=class_)


def marker(shape: int, x: float, y: float, size: float, class_: str, *, title: str = "") -> str:
    """A small sign, one of six shapes, so that series can be told apart without colours."""
    said = (element("title", escape(title)),) if title else ()
    if shape == 0:
        return element("circle", *said, cx=x, cy=y, r=size, class_=class_)
    points = " ".join(
        f"{x + size * across:.1f},{y + size * down:.1f}" for across, down in _SHAPES[shape % len(_SHAPES)]
    )
    return element("polygon", *said, points=points, class_=class_)


_SHAPES: Final = (
    ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)),  # never drawn: a circle stands for 0
    ((0.0, -1.4), (1.4, 0.0), (0.0, 1.4), (-1.4, 0.0)),
    ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)),
    ((0.0, -1.3), (1.2, 0.9), (-1.2, 0.9)),
    ((0.0, 1.3), (1.2, -0.9), (-1.2, -0.9)),
    ((-1.3, -0.4), (-0.4, -0.4), (-0.4, -1.3), (0.4, -1.3), (0.4, -0.4), (1.3, -0.4), (1.3, 0.4), (0.4, 0.4),
     (0.4, 1.3), (-0.4, 1.3), (-0.4, 0.4), (-1.3, 0.4)),
)  # fmt: skip


def wrapped(content: str, width: int) -> list[str]:
    """A text in lines of so many characters at most, where its words allow."""
    lines: list[str] = []
    for word in content.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _value(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)
