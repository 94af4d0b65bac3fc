"""A dataset as a tree: text for a terminal, collapsible and searchable HTML for a notebook.

Knows: how to show values so that none of them acts.
Does not know: what they mean.
"""

from dataclasses import dataclass
from importlib.resources import files
from itertools import count, islice

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from workbench.entities import html_safe, plain
from workbench.files import given
from workbench.inspection._walk import Node, text_of, uid_name, walk

__all__ = ["Tree", "tree"]

_numbers = count(1)  # element ids on a page


@dataclass(frozen=True, slots=True, repr=False)
class Tree:
    """A dataset as a tree: ``print()`` shows text, a notebook shows HTML.

    Parameters
    ----------
    dataset : pydicom.Dataset
        What is shown; it is read when it is shown.
    max_rows : int
        Elements and items shown at most; a line says that more are there.
    max_depth : int
        Levels of nesting shown at most.
    """

    dataset: Dataset
    max_rows: int = 3000
    max_depth: int = 32

    def __repr__(self) -> str:  # an object's values do not belong in a log
        return f"<Tree of {len(self.dataset)} attributes: print() shows it>"

    def _nodes(self) -> tuple[list[Node], bool]:
        meta = getattr(self.dataset, "file_meta", None)
        head = list(walk(meta)) if meta else []
        body = list(islice(walk(self.dataset, max_depth=2 * self.max_depth), self.max_rows + 1))
        return head + body[: self.max_rows], len(body) > self.max_rows

    def __str__(self) -> str:
        nodes, more = self._nodes()
        lines = [_line(node) for node in nodes]
        if more:
            lines.append(f"… more than {self.max_rows:,} lines: max_rows= shows more")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        nodes, more = self._nodes()
        name = f"workbench-tree-{next(_numbers)}-{id(self):x}"
        room = files("workbench.inspection")
        style = room.joinpath("tree.css").read_text(encoding="utf-8")
        script = room.joinpath("tree.js").read_text(encoding="utf-8")
        parts = [f"<div class='workbench-tree' id='{name}'><style>{style}</style>"]
        parts.append("<input type='search' placeholder='search tag, name, value' aria-label='search'><span role='status'></span>")
        parts += _html(nodes)
        if more:
            parts.append(f"<p>… more than {self.max_rows:,} lines: <code>max_rows=</code> shows more</p>")
        parts.append(f"<script>{script.replace('TREE_ID', name)}</script></div>")
        return "".join(parts)


def tree(dataset: Dataset, *, max_rows: int = 3000, max_depth: int = 32) -> Tree:
    r"""Return a dataset as a tree with one line an element: tag, VR, name and value.

    Values are shortened, control characters and those that change the reading direction are made visible.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Any dataset, of any depth.
    max_rows, max_depth : int
        What is beyond them is counted, not shown.

    Raises
    ------
    InputError
        If it is not a dataset.

    Examples
    --------
    >>> image = Dataset()
    >>> image.PatientName = "DOE\x1b[31m^JANE"
    >>> print(tree(image))
    (0010,0010) PN Patient's Name = DOE␛[31m^JANE
    """
    return Tree(given.one(dataset), max_rows, max_depth)


def _line(node: Node) -> str:
    indent = "  " * node.depth
    if node.tag is None:
        return f"{indent}{node.name}"
    return f"{indent}({node.tag.group:04X},{node.tag.element:04X}) {node.vr} {plain(node.name)} = {_value(node, 80)}"


def _value(node: Node, length: int) -> str:
    text = plain(text_of(node.value)).replace("\n", "␊").replace("\t", "␉")
    if node.vr == "UI" and text and "\\" not in text and uid_name(text) != text:
        text = f"{text} ({uid_name(text)})"
    return text if len(text) <= length else f"{text[: length - 1]}… ({len(text):,} characters)"


def _html(nodes: list[Node]) -> list[str]:
    """Return nested ``details`` for sequences and items, one line for every other element."""
    parts: list[str] = []
    opened: list[int] = []  # depths of the details that are open
    for node in nodes:
        while opened and opened[-1] >= node.depth:
            parts.append("</details>")
            opened.pop()
        if node.tag is None or isinstance(node.value, Sequence):
            parts.append(f"<details><summary>{_row(node)}</summary>")
            opened.append(node.depth)
        else:
            parts.append(f"<div>{_row(node)}</div>")
    return [*parts, "</details>" * len(opened)]


def _row(node: Node) -> str:
    if node.tag is None:
        return f"<b>{html_safe(node.name)}</b>"
    tag = f"({node.tag.group:04X},{node.tag.element:04X})"
    value = html_safe(_value(node, 400))
    return f"<code>{tag}</code> <i>{html_safe(node.vr)}</i> <b>{html_safe(node.name)}</b> <span>{value}</span>"
