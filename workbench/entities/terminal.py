"""Tables as plain text: for a terminal of so many columns, or for a pipe.

Knows: how wide characters are, where a line may be broken.
Does not know: colours, DICOM, whether someone is looking.
"""

import textwrap
import unicodedata
from collections.abc import Iterable, Mapping

from workbench.entities.text import plain

__all__ = ["text_table"]

_GAP = "  "
_NARROWEST = 16  # a column of words is not made narrower


def text_table(rows: Iterable[Mapping[str, object]], *, width: int | None = None) -> str:
    """Return rows as text in which every value is whole and nothing acts on a terminal.

    Columns without any value are left out. Where the table is too wide, words are wrapped, then what is the same in all
    rows is said once above, and at last each row becomes a block of lines. A line is broken between words only, so that a
    UID or a path can always be copied, even where it is wider than the terminal.

    Parameters
    ----------
    rows : iterable of mappings
        All with the same keys.
    width : int, optional
        Columns of the terminal; without it, as in a pipe, each row is one line of any length.

    Returns
    -------
    str
        Lines without a line feed at the end; empty where there are no rows.

    Examples
    --------
    >>> print(text_table([{"sop_class": "CT", "size": 10, "note": ""}, {"sop_class": "PT", "size": 9, "note": None}]))
    sop class  size
    ─────────  ────
    CT         10
    PT         9
    """
    records = [{name.replace("_", " "): _line(value) for name, value in row.items()} for row in rows]
    names = [name for name in (records[0] if records else ()) if any(record[name] for record in records)]
    if not names:
        return ""
    if fitting := _widths(records, names, width):
        return "\n".join(_grid(records, names, fitting))
    same = [name for name in names if len(records) > 1 and len({record[name] for record in records}) == 1]
    others = [name for name in names if name not in same]
    above = [f"The same in all {len(records)}:", *_block(records[0], same, width), ""] if same and others else []
    others = others or names
    if fitting := _widths(records, others, width):
        return "\n".join([*above, *_grid(records, others, fitting)])
    blocks = ["\n".join(_block(record, others, width)) for record in records]
    return "\n".join(above) + ("\n" if above else "") + "\n\n".join(blocks)


def _line(value: object) -> str:
    return "" if value is None else " ".join(plain(value).split())


def _size(text: str) -> int:
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _size(text))


def _widths(records: list[dict[str, str]], names: list[str], width: int | None) -> dict[str, int]:
    """Return a width for each column, narrowed where words can be wrapped; empty where they do not fit."""
    cells = {name: [name, *(record[name] for record in records)] for name in names}
    wanted = {name: max(map(_size, texts)) for name, texts in cells.items()}
    least = {name: max(_NARROWEST, *(_size(word) for text in texts for word in text.split())) for name, texts in cells.items()}
    while width is not None and (excess := sum(wanted.values()) + len(_GAP) * (len(names) - 1) - width) > 0:
        widest = max((name for name in names if wanted[name] > least[name]), key=wanted.__getitem__, default=None)
        if widest is None:
            return {}
        wanted[widest] -= min(excess, max(1, (wanted[widest] - least[widest]) // 2))
    return wanted


def _wrapped(text: str, width: int) -> list[str]:
    """Break between words only; text of wide characters has half as many in a line."""
    narrow = width * len(text) // max(1, _size(text))
    return textwrap.wrap(text, max(1, narrow), break_long_words=False, break_on_hyphens=False) or [""]


def _grid(records: list[dict[str, str]], names: list[str], widths: dict[str, int]) -> list[str]:
    lines: list[list[str]] = []
    for record in ({name: name for name in names}, {name: "─" * widths[name] for name in names}, *records):
        cells = [_wrapped(record[name], widths[name]) if _size(record[name]) > widths[name] else [record[name]] for name in names]
        for index in range(max(map(len, cells))):
            shown = [cell[index] if index < len(cell) else "" for cell in cells]
            lines.append([_padded(text, widths[name]) for name, text in zip(names, shown, strict=True)])
    return [_GAP.join(line).rstrip() for line in lines]


def _block(record: dict[str, str], names: list[str], width: int | None) -> list[str]:
    """Return a row as lines of name and value."""
    shown = [name for name in names if record[name]]
    label = max(map(_size, shown), default=0)
    lines = []
    for name in shown:
        first, *rest = _wrapped(record[name], max(_NARROWEST, (width or 10_000) - label - len(_GAP)))
        lines += [_padded(name, label) + _GAP + first, *(" " * label + _GAP + line for line in rest)]
    return lines
