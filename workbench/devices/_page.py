"""A profile as a page of a notebook: what it is, and its parts folded under their names.

Knows: HTML.
Does not know: what the parts are.
"""

from collections.abc import Mapping, Sequence

from workbench.entities import html_safe, html_table

__all__ = ["folded", "page"]

Lines = list[dict[str, object]]

_ALL = 10_000  # rows: a page is folded, so nothing is cut


def page(title: str, words: Sequence[str], parts: Mapping[str, str], *, unfolded: Sequence[str] = ()) -> str:
    """Return a title, paragraphs, and parts, which are HTML already, each under its name."""
    shown = "".join(f"<p>{html_safe(word)}</p>" for word in words if word)
    folds = "".join(
        f"<details{' open' if name in unfolded else ''}><summary style='cursor:pointer'><b>{html_safe(name)}</b></summary>"
        f"<div style='overflow-x:auto;margin-left:1em'>{part}</div></details>"
        for name, part in parts.items()
    )
    return f"<div><p><b>{html_safe(title)}</b></p>{shown}{folds}</div>"


def folded(groups: Mapping[str, Lines]) -> str:
    """Return a fold for each group of rows, with their number; one group alone, or one without a name, is not folded."""
    if len(groups) == 1 or "" in groups:
        return "".join(html_table(lines, limit=_ALL) for lines in groups.values())
    return "".join(
        f"<details><summary style='cursor:pointer'>{html_safe(name)}: {len(lines)}</summary>"
        f"{html_table(lines, limit=_ALL)}</details>"
        for name, lines in groups.items()
    )
