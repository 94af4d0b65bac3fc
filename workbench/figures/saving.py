"""Figures as files.

Knows: matplotlib's formats.
Does not know: how a file is written whole; files does.
"""

from pathlib import Path
from typing import Any, BinaryIO

from matplotlib.figure import Figure

from workbench.errors import InputError
from workbench.files import write_whole

__all__ = ["save"]

_DATES: dict[str, dict[str, None]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}


def save(figure: Figure, path: Path | str, *, dpi: float = 200) -> Path:
    """Write a figure to a PNG, PDF or SVG file, whole or not at all; the file does not say when it was made.

    Raises
    ------
    InputError
        If the name ends with none of .png, .pdf and .svg.
    StorageFull
        If no space is left.
    """
    kind = Path(path).suffix.lower().lstrip(".")
    if kind not in {"png", "pdf", "svg"}:
        raise InputError("A figure is saved as .png, .pdf or .svg: the file's name says which.")
    settings: dict[str, Any] = {"format": kind, "dpi": dpi, "metadata": _DATES.get(kind, {}), "facecolor": "white"}

    def content(file: BinaryIO) -> None:
        figure.savefig(file, **settings)

    return write_whole(path, content)
