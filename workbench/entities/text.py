"""Text from datasets and peers made safe to show: in HTML, in a terminal, in a spreadsheet.

Knows: which characters act where.
Does not know: DICOM, tables, files.
"""

import html
import re

__all__ = ["ESCAPED_BYTES", "cell_safe", "counted", "html_safe", "html_table", "plain"]

#: The first of 256 private characters that stand for bytes that could not be decoded.
ESCAPED_BYTES = 0xEF00
# C0 and C1 controls, DEL, the bidirectional overrides and isolates of Unicode TR9, and bytes that could not be decoded.
_ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\uef00-\uefff]")
_LONG = 32  # characters
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # full-width forms start formulas too


def plain(value: object) -> str:
    r"""Return `value` as text in which no character acts on a terminal, a log or the reading direction.

    A byte that could not be decoded is shown as ``\xFC``.

    Examples
    --------
    >>> plain("DOE\x1b[31m^JANE")
    'DOE␛[31m^JANE'
    """
    return _ACTING.sub(_picture, str(value))


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    if code >= ESCAPED_BYTES:
        return f"\\x{code - ESCAPED_BYTES:02X}"
    return "␡" if code == 0x7F else "�"


def html_safe(value: object) -> str:
    """Return `value` as text to stand inside HTML, elements and quoted attributes alike.

    Examples
    --------
    >>> html_safe('<img src=x onerror="alert(1)">')
    '&lt;img src=x onerror=&quot;alert(1)&quot;&gt;'
    """
    return html.escape(plain(value), quote=True)


def html_table(rows: list[dict[str, object]], *, caption: str = "", limit: int = 200, rest: str = "") -> str:
    """Return an HTML table of `rows`, every cell escaped; rows beyond `limit` are counted, and `rest` says where they are."""
    if not rows:
        return f"<p>{html_safe(caption)} (empty)</p>" if caption else "<p>(empty)</p>"
    head = "".join(f"<th style='text-align:left'>{html_safe(name)}</th>" for name in rows[0])
    body = "".join("<tr>" + "".join(_cell(value) for value in row.values()) + "</tr>" for row in rows[:limit])
    more = f"<p>… and {html_safe(f'{len(rows) - limit} more{rest}')}</p>" if len(rows) > limit else ""
    title = f"<caption style='text-align:left'>{html_safe(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _cell(value: object) -> str:
    """Return a cell; a long word, such as a UID, is broken where the table would be wider than the page."""
    text = "" if value is None else str(value)
    wrap = ";overflow-wrap:anywhere" if max(map(len, text.split()), default=0) > _LONG else ""
    return f"<td style='text-align:left{wrap}'>{html_safe(text)}</td>"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, by the rules of English that have no exceptions here but series.

    Examples
    --------
    >>> counted(1, "study"), counted(2, "study"), counted(2, "series")
    ('1 study', '2 studies', '2 series')
    >>> counted(0, "day"), counted(2, "copy"), counted(2, "class"), counted(2, "box"), counted(2, "patch"), counted(2, "film")
    ('0 days', '2 copies', '2 classes', '2 boxes', '2 patches', '2 films')
    """
    if noun.endswith("series"):
        plural = noun
    elif noun.endswith("y") and noun[-2:-1] not in set("aeiou"):
        plural = f"{noun[:-1]}ies"
    else:
        plural = f"{noun}{'es' if noun.endswith(('s', 'x', 'ch', 'sh')) else 's'}"
    return f"{number} {noun if number == 1 else plural}"


def cell_safe(value: object) -> object:
    """Return a text cell that no spreadsheet takes for a formula; everything else is returned as it is.

    Examples
    --------
    >>> cell_safe("=HYPERLINK(1)"), cell_safe(-1.5)
    ("'=HYPERLINK(1)", -1.5)
    """
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA):
        return "'" + value
    return value
