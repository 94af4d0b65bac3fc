"""What a person draws on an image: points, lines, circles, ellipses and words.

Knows: image coordinates: (column, row), origin at the top-left corner of the top-left pixel (PS3.3 C.10.5.1.2, C.18.6.1).
Does not know: how a mark is shown, measured or encoded.
"""

import math
from dataclasses import dataclass
from typing import Protocol

from workbench.errors import AttributeUnusable

__all__ = ["Circle", "Ellipse", "Mark", "Point", "Polyline", "Text", "Vertex", "is_inside"]

Vertex = tuple[float, float]


class _WithVertices(Protocol):
    @property
    def vertices(self) -> tuple[Vertex, ...]: ...


class _Boxed:
    """A mark that reaches as far as its vertices do."""

    __slots__ = ()

    @property
    def bounds(self: _WithVertices) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the smallest upright box around it, in pixels."""
        columns, rows = zip(*self.vertices, strict=True)
        return min(columns), min(rows), max(columns), max(rows)


def _finite(*vertices: Vertex) -> None:
    for vertex in vertices:
        if not all(math.isfinite(x) for x in vertex):
            raise AttributeUnusable("A mark needs (column, row) pairs of finite numbers (PS3.3 C.10.5.1.2).")


@dataclass(frozen=True, slots=True)
class Point(_Boxed):
    """One place in an image.

    Parameters
    ----------
    at : (float, float)
        (column, row) in pixels.
    """

    at: Vertex
    graphic_type = "POINT"

    def __post_init__(self) -> None:
        _finite(self.at)

    @property
    def vertices(self) -> tuple[Vertex, ...]:
        """The point itself."""
        return (self.at,)


@dataclass(frozen=True, slots=True)
class Polyline(_Boxed):
    """Straight lines from vertex to vertex.

    Parameters
    ----------
    vertices : tuple of (float, float)
        Two or more (column, row) pairs in pixels; first and last are equal where the line is closed.
    """

    vertices: tuple[Vertex, ...]
    graphic_type = "POLYLINE"

    def __post_init__(self) -> None:
        object.__setattr__(self, "vertices", tuple((float(c), float(r)) for c, r in self.vertices))
        _finite(*self.vertices)
        if len(self.vertices) < 2:
            raise AttributeUnusable("A polyline needs two vertices or more (PS3.3 C.10.5.1.2).")

    @property
    def closed(self) -> bool:
        """Whether the line ends where it began and so has an inside."""
        return len(self.vertices) > 3 and self.vertices[0] == self.vertices[-1]

    @classmethod
    def polygon(cls, *vertices: Vertex) -> "Polyline":
        """Return a closed line through `vertices`; the first need not be repeated."""
        return cls(vertices if vertices[:1] == vertices[-1:] and len(vertices) > 1 else (*vertices, *vertices[:1]))

    @classmethod
    def rectangle(cls, left: float, top: float, right: float, bottom: float) -> "Polyline":
        """Return the closed outline of an upright rectangle."""
        return cls.polygon((left, top), (right, top), (right, bottom), (left, bottom))


@dataclass(frozen=True, slots=True)
class Circle:
    """A circle.

    Parameters
    ----------
    center : (float, float)
        (column, row) in pixels.
    radius : float
        In pixels, greater than 0.
    """

    center: Vertex
    radius: float
    graphic_type = "CIRCLE"

    def __post_init__(self) -> None:
        _finite(self.center, (self.radius, 0.0))
        if not self.radius > 0:
            raise AttributeUnusable("A circle needs a radius greater than 0 pixels.")

    @property
    def vertices(self) -> tuple[Vertex, ...]:
        """Centre, then a point of the perimeter, as PS3.3 C.10.5.1.2 orders them."""
        return (self.center, (self.center[0] + self.radius, self.center[1]))

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the square around it, in pixels."""
        (c, r), size = self.center, self.radius
        return c - size, r - size, c + size, r + size


@dataclass(frozen=True, slots=True)
class Ellipse:
    """An ellipse.

    Parameters
    ----------
    center : (float, float)
        (column, row) in pixels.
    radii : (float, float)
        Half axes in pixels, both greater than 0; the first lies along `angle_deg`.
    angle_deg : float
        Direction of the first half axis, clockwise on the screen from the row direction.
    """

    center: Vertex
    radii: tuple[float, float]
    angle_deg: float = 0.0
    graphic_type = "ELLIPSE"

    def __post_init__(self) -> None:
        _finite(self.center, self.radii, (self.angle_deg, 0.0))
        if not min(self.radii) > 0:
            raise AttributeUnusable("An ellipse needs half axes greater than 0 pixels.")

    @property
    def vertices(self) -> tuple[Vertex, ...]:
        """End points of the major axis, then of the minor axis (PS3.3 C.10.5.1.2)."""
        turn = math.radians(self.angle_deg) + (math.pi / 2 if self.radii[1] > self.radii[0] else 0.0)
        major, minor = max(self.radii), min(self.radii)
        (c, r), (x, y) = self.center, (math.cos(turn), math.sin(turn))
        return (
            (c - major * x, r - major * y),
            (c + major * x, r + major * y),
            (c + minor * y, r - minor * x),
            (c - minor * y, r + minor * x),
        )

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the curve itself, which reaches beyond the ends of its axes, in pixels."""
        turn, (a, b), (c, r) = math.radians(self.angle_deg), self.radii, self.center
        wide = math.hypot(a * math.cos(turn), b * math.sin(turn))
        tall = math.hypot(a * math.sin(turn), b * math.cos(turn))
        return c - wide, r - tall, c + wide, r + tall


@dataclass(frozen=True, slots=True)
class Text(_Boxed):
    """Words beside a place in the image.

    Parameters
    ----------
    text : str
        What is said; up to 1024 characters (VR ST).
    at : (float, float)
        The place that is meant, (column, row) in pixels.
    """

    text: str
    at: Vertex
    graphic_type = "TEXT"

    def __post_init__(self) -> None:
        _finite(self.at)
        if not 1 <= len(self.text) <= 1024:
            raise AttributeUnusable("A text mark needs 1 to 1024 characters (PS3.5 6.2, ST).")

    @property
    def vertices(self) -> tuple[Vertex, ...]:
        """The anchor."""
        return (self.at,)


Mark = Point | Polyline | Circle | Ellipse | Text


def is_inside(mark: Mark, *, rows: int, columns: int) -> bool:
    """Say whether a mark lies wholly inside an image of so many rows and columns; rounding of a float32 is forgiven.

    Examples
    --------
    >>> is_inside(Circle((5.0, 5.0), 5.0), rows=10, columns=10), is_inside(Circle((4.0, 5.0), 5.0), rows=10, columns=10)
    (True, False)
    """
    left, top, right, bottom = mark.bounds
    slack = 1e-3
    return left >= -slack and top >= -slack and right <= columns + slack and bottom <= rows + slack
