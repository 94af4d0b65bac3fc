"""A trace as a sequence diagram in HTML: time runs down, each message is an arrow.

Knows: HTML and style sheets; no script, nothing from elsewhere.
Does not know: how a trace is recorded.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TypeVar

from workbench.entities import html_safe
from workbench.network._trace_rows import Side, TraceContext, TraceRow

__all__ = ["diagram"]

Row = TypeVar("Row", TraceRow, TraceContext)

_ROWS_LIMIT = 400
_SIDES_LIMIT = 40
_RUN = 4  # so many alike are drawn as one
_KEYS_SHOWN = 6
_SHORT = 12  # a status in words that has room on an arrow

_STYLE = """<style>
.wb-trace{--ok:#1a7f4b;--busy:#5b6b7d;--warn:#a86400;--bad:#c0322b;--acse:#3567a8;
--soft:var(--jp-ui-font-color2,#6b7682);--rule:rgba(127,140,155,.35);--bar:rgba(127,140,155,.10);
color:var(--jp-ui-font-color1,inherit);
font:13px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;max-width:74rem;margin:.5rem 0}
[data-jp-theme-light="false"] .wb-trace{--ok:#4cc38a;--busy:#9aa7b5;--warn:#e0a33a;--bad:#ff8078;--acse:#7fb0f0}
.wb-trace section{margin:0 0 1.6rem}
.wb-trace h4{font-size:1.05em;font-weight:600;margin:0 0 .1rem}
.wb-trace .sum{color:var(--soft);margin:0 0 .6rem}
.wb-trace .grid{display:grid;grid-template-columns:5.2rem minmax(16rem,25rem) minmax(12rem,1fr)}
.wb-trace .t{color:var(--soft);text-align:right;padding:.5rem .9rem 0 0;font-size:.88em;
font-variant-numeric:tabular-nums;white-space:nowrap}
.wb-trace .lane{position:relative;margin:0 2.2rem;padding:.35rem 0 .95rem;border:0 solid var(--rule);border-width:0 2px;
text-align:center;min-height:1.2em}
.wb-trace .ends{margin:0;padding:0 0 .2rem;border:0;display:flex;justify-content:space-between;align-items:end;gap:1.2rem}
.wb-trace .ends>span{background:var(--bar);border:1px solid var(--rule);border-radius:6px;padding:.2rem .55rem;text-align:center;
line-height:1.3;min-width:3.4rem;overflow-wrap:anywhere}
.wb-trace .ends small,.wb-trace .f small{color:var(--soft)}
.wb-trace .lane b{font-weight:600}
.wb-trace .lane i{position:absolute;left:0;right:0;top:1.95em;height:0;border-top:2px solid currentColor}
.wb-trace .lane i::after{content:"";position:absolute;top:-6px;border:5px solid transparent}
.wb-trace .out i::after{right:0;border-left:8px solid currentColor;border-right:0}
.wb-trace .in i::after{left:0;border-right:8px solid currentColor;border-left:0}
.wb-trace .rsp i{border-top-style:dashed}
.wb-trace .lane .st{margin-left:.5em}
.wb-trace .ok{color:var(--ok)}.wb-trace .busy{color:var(--busy)}.wb-trace .warn{color:var(--warn)}
.wb-trace .bad{color:var(--bad)}.wb-trace .acse{color:var(--acse)}
.wb-trace .many{color:var(--soft);padding:.25rem 0;background:var(--bar)}
.wb-trace .end{color:var(--soft);padding:.3rem 0}
.wb-trace .end.bad{color:var(--bad)}
.wb-trace .f{padding:.35rem 0 .2rem .2rem;overflow-wrap:anywhere}
.wb-trace code{font:12px/1.5 ui-monospace,"SF Mono",Menlo,Consolas,monospace;background:var(--bar);border-radius:4px;
padding:.05em .35em;margin:0 .3em .2em 0;display:inline-block;color:inherit}
.wb-trace details{display:inline}
.wb-trace details[open]{display:block}
.wb-trace summary{cursor:pointer;color:var(--soft);display:inline}
.wb-trace .cx{margin:.5rem 0 0}
.wb-trace .cx>summary{display:list-item}
.wb-trace .wide{overflow-x:auto}
.wb-trace table{border-collapse:collapse;margin:.4rem 0;font-size:.93em}
.wb-trace th,.wb-trace td{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0;border-bottom:1px solid var(--rule)}
</style>"""


def diagram(sides: Sequence[Side], rows: Sequence[TraceRow], contexts: Sequence[TraceContext], *, missing: int) -> str:
    """Return the sequence diagram of a trace, one part an association.

    Parameters
    ----------
    sides, rows, contexts : sequences
        Of all associations.
    missing : int
        Rows and PDUs that were not kept.
    """
    parts, left = [_STYLE], _ROWS_LIMIT
    of_rows = _by_association(rows)
    of_contexts = _by_association(contexts)
    for side in sides[:_SIDES_LIMIT]:
        its = _in_time(of_rows.get(side.association, []))
        drawn = list(_drawn(its))
        parts.append(_association(side, its, drawn[: max(left, 0)], of_contexts.get(side.association, []), len(drawn)))
        left -= len(drawn)
    if len(sides) > _SIDES_LIMIT:
        parts.append(f"<p class='sum'>… and {len(sides) - _SIDES_LIMIT} more associations: see table().</p>")
    if not sides:
        parts.append("<p class='sum'>No association was recorded.</p>")
    if missing:
        parts.append(f"<p class='sum bad'>{missing:,} rows and PDUs more were counted, but not kept.</p>")
    return f"<div class='wb-trace'>{''.join(parts)}</div>"


def _by_association(rows: Sequence[Row]) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    for row in rows:
        found.setdefault(row.association, []).append(row)
    return found


def _in_time(rows: Sequence[TraceRow]) -> list[TraceRow]:
    """Return rows as they began: a message that was complete later may have begun before another one."""
    return sorted(rows, key=lambda row: row.seconds)


def _association(side: Side, rows: Sequence[TraceRow], drawn: Sequence[str], contexts: Sequence[TraceContext], total: int) -> str:
    ours, theirs = (html_safe(title) or "?" for title in (side.ours, side.theirs))
    arrow = "→" if side.is_caller else "←"
    lasted = f"{max(row.seconds + row.lasted_s for row in rows) - rows[0].seconds:.3f} s · " if rows else ""
    head = (
        f"<h4>Association {side.association} · {ours} {arrow} {theirs}</h4>"
        f"<p class='sum'>{lasted}{_size(side.sent_bytes)} sent · {_size(side.received_bytes)} received</p>"
    )
    ends = (
        f"<div class='t'></div><div class='lane ends'><span><b>{ours}</b><br><small>here · {html_safe(side.local)}</small></span>"
        f"<span><b>{theirs}</b><br><small>{html_safe(side.remote)}</small></span></div><div class='f'></div>"
    )
    more = f"<p class='sum'>… and {total - len(drawn)} more rows: see table().</p>" if total > len(drawn) else ""
    return f"<section>{head}<div class='grid'>{ends}{''.join(drawn)}</div>{more}{_contexts(contexts)}</section>"


# ------------------------------------------------------------ messages
def _drawn(rows: Sequence[TraceRow]) -> Iterator[str]:
    """Yield each row, and runs of rows that are alike as their first, how many more, and their last."""
    position, keys = 0, [_key(row) for row in rows]
    while position < len(rows):
        period, times = _run(keys, position)
        if times < _RUN:
            yield _row(rows[position], rows[0].seconds)
            position += 1
            continue
        first, last = position + period, position + period * (times - 1)
        yield from (_row(row, rows[0].seconds) for row in rows[position:first])
        yield _more(rows[first:last], times - 2)
        yield from (_row(row, rows[0].seconds) for row in rows[last : last + period])
        position = last + period


def _key(row: TraceRow) -> tuple[object, ...]:
    return row.direction, row.name, row.status, row.context_id, row.sop_class, row.meaning


def _run(keys: Sequence[tuple[object, ...]], start: int) -> tuple[int, int]:
    """Return how long the pattern is that begins at `start` and how many times it stands there; one, or request and response."""
    best = (1, 1)
    for period in (1, 2):
        times, pattern = 1, keys[start : start + period]
        while len(pattern) == period and keys[start + times * period : start + (times + 1) * period] == pattern:
            times += 1
        if times >= _RUN and times * period > best[0] * best[1]:
            best = (period, times)
    return best


def _more(rows: Sequence[TraceRow], times: int) -> str:
    lasted = rows[-1].seconds + rows[-1].lasted_s - rows[0].seconds
    size = sum(row.wire_bytes for row in rows)
    names = " + ".join(html_safe(name) for name, _ in groupby(rows[:2], key=lambda row: row.name))
    return (
        f"<div class='t'></div><div class='lane many'>⋮ {times:,} more of this</div>"
        f"<div class='f'><small>{names} · {_size(size)} · {lasted:.3f} s</small></div>"
    )


def _row(row: TraceRow, began: float) -> str:
    at = f"<div class='t'>{(row.seconds - began) * 1000:,.1f} ms</div>"
    if row.name in {"connection", "violation"}:
        is_plain = row.name == "connection" and "lost" not in row.meaning
        return f"{at}<div class='lane end{'' if is_plain else ' bad'}'>{html_safe(row.meaning)}</div><div class='f'></div>"
    way = "out" if row.direction == "sent" else "in"
    kind = _kind(row)
    reply = " rsp" if row.name.endswith(("-RSP", "-AC", "-RP", "-RJ")) else ""
    return f"{at}<div class='lane {way}{reply} {kind}'><b>{html_safe(row.name)}</b>{_status(row)}<i></i></div>{_facts(row)}"


def _kind(row: TraceRow) -> str:
    """Return the class that gives a row its colour."""
    if row.name in {"A-ABORT", "A-ASSOCIATE-RJ"} or row.meaning.startswith("cut off"):
        return "bad"
    if row.name.startswith("A-"):
        return "bad" if row.name == "A-ASSOCIATE-AC" and row.meaning.startswith("0 of") else "acse"
    if row.status is None or row.status in {0xFF00, 0xFF01}:
        return "busy"
    if row.status == 0:
        return "ok"
    return "warn" if row.status >> 12 == 0xB or row.status in {0x0001, 0x0107, 0x0116, 0xFE00} else "bad"


def _status(row: TraceRow) -> str:
    if row.status is None:
        return ""
    short = row.meaning if len(row.meaning) <= _SHORT else ""
    return f"<span class='st'>{row.status:04X} {html_safe(short)}</span>"


def _facts(row: TraceRow) -> str:
    """Return what stands beside an arrow."""
    lines = []
    if row.meaning and (row.status is None or len(row.meaning) > _SHORT):
        colour = _kind(row) if row.status is not None or _kind(row) == "bad" else ""
        lines.append(f"<span class='{colour}'>{html_safe(row.meaning)}</span>")
    about = [html_safe(row.sop_class)] if row.sop_class and row.name.endswith("-RQ") else []
    about += [f"message {row.message_id}"] if row.message_id is not None and row.name.endswith("-RQ") else []
    if row.dataset_bytes is not None:
        about.append(f"{_size(row.dataset_bytes)} in {row.pdus:,} PDU{'' if row.pdus == 1 else 's'}")
    about += [html_safe(row.note)] if row.note else []
    if about:
        lines.append(f"<small>{' · '.join(about)}</small>")
    if row.sop_instance_uid and row.name.endswith("-RQ"):
        lines.append(f"<small>{html_safe(row.sop_instance_uid)}</small>")
    if row.identifier:
        lines.append(_identifier(row.identifier))
    return f"<div class='f'>{'<br>'.join(lines)}</div>"


def _identifier(keys: Sequence[str]) -> str:
    shown = [f"<code>{html_safe(key)}</code>" for key in sorted(keys, key=lambda key: "=" not in key)]
    rest = shown[_KEYS_SHOWN:]
    more = f"<details><summary>and {len(rest)} more</summary>{''.join(rest)}</details>" if rest else ""
    return "".join(shown[:_KEYS_SHOWN]) + more


# ------------------------------------------------------------ contexts
def _contexts(contexts: Sequence[TraceContext]) -> str:
    if not contexts:
        return ""
    extra = [name for name in ("roles", "extended") if any(getattr(c, name) for c in contexts)]
    head = "".join(f"<th>{name}</th>" for name in ("ID", "SOP class", "proposed", "result", "accepted", *extra))
    body = "".join(
        f"<tr><td>{c.context_id}</td><td>{html_safe(c.sop_class)}</td><td>{'<br>'.join(map(html_safe, c.proposed))}</td>"
        f"<td class='{'ok' if c.result == 'accepted' else 'bad'}'>{html_safe(c.result)}</td><td>{html_safe(c.accepted)}</td>"
        + "".join(f"<td>{html_safe(getattr(c, name))}</td>" for name in extra)
        + "</tr>"
        for c in contexts
    )
    accepted = sum(c.result == "accepted" for c in contexts)
    label = f"Presentation contexts: {accepted} of {len(contexts)} accepted"
    return (
        f"<details class='cx'><summary>{label}</summary><div class='wide'><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div></details>"
    )


def _size(count: int) -> str:
    if count < 10_000:
        return f"{count:,} bytes"
    return f"{count / 1e6:,.1f} MB" if count >= 1_000_000 else f"{count / 1e3:,.0f} kB"
