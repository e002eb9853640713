"""The frame of a page that needs no other file: style by day and night, tables, pictures."""

import base64
import html
from collections.abc import Sequence

_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title><style>
:root {{ color-scheme: light dark; --back: #fff; --card: #f5f7f9; --text: #20262d; --soft: #59636e; --line: #dfe4e9;
  --good: #2f8f55; --note: #b08a1e; --bad: #c93c3c }}
@media (prefers-color-scheme: dark) {{ :root {{ --back: #14181d; --card: #1d232a; --text: #e4e8ec; --soft: #9aa5b0;
  --line: #333c46; --good: #4cb878; --note: #d9b64a; --bad: #ef6b6b }} }}
* {{ box-sizing: border-box }}
body {{ font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); max-width: 1120px;
  margin: 0 auto; padding: 1.2em 16px 4em; overflow-wrap: anywhere }}
h1 {{ font-size: 1.5em; line-height: 1.25; margin: .4em 0 }} h2 {{ font-size: 1.15em; margin: 2.2em 0 .5em }}
h3 {{ font-size: 1em; margin: 1.2em 0 .3em }} p {{ max-width: 52em; margin: .4em 0 }}
.soft {{ color: var(--soft); font-size: .9em }}
img, video {{ width: 100%; height: auto; display: block; border-radius: 6px }}
.wide {{ overflow-x: auto }} table {{ border-collapse: collapse; font-size: .88em }}
td, th {{ padding: .28em .7em; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap }}
td:first-child, th:first-child {{ text-align: left; padding-left: 0 }} th {{ color: var(--soft); font-weight: 600 }}
.wrap td {{ white-space: normal; text-align: left; min-width: 7em }} .wrap th {{ text-align: left }}
.box {{ border-left: 5px solid; padding: .35em .9em; margin: .5em 0; background: var(--card);
  border-radius: 0 6px 6px 0 }}
.good {{ border-color: var(--good) }} .note {{ border-color: var(--note) }} .bad {{ border-color: var(--bad) }}
.verdict {{ font-size: 1.12em; font-weight: 600 }}
.pictures {{ display: grid; gap: 6px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 220px), 1fr)); margin: .6em 0 }}
.tiles, .charts {{ display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 200px), 1fr)) }}
.charts {{ grid-template-columns: repeat(auto-fill, minmax(min(100%, 310px), 1fr)); gap: 14px 20px }}
.tile {{ background: var(--card); border-radius: 8px; padding: .7em .9em }}
.tile b {{ display: block; font-size: 1.55em; line-height: 1.25 }} .tile span {{ color: var(--soft); font-size: .88em }}
figure {{ margin: 0; min-width: 0 }} figcaption {{ font-weight: 600; font-size: .92em }}
figcaption.soft {{ font-weight: 400 }}
.key {{ font-size: .78em; color: var(--soft) }} .key span {{ margin-right: .9em; white-space: nowrap }}
.key i {{ display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .3em;
  vertical-align: -1px }}
svg {{ width: 100%; height: auto; display: block }} svg text {{ font: 10.5px system-ui, sans-serif; fill: var(--soft) }}
svg .g {{ stroke: var(--line) }}
.heat td {{ text-align: center; color: #15181c; border: 2px solid var(--back); padding: .35em .5em }}
.heat th {{ border: 0; text-align: center; padding: .2em .5em }} .heat th:first-child {{ text-align: right }}
.heat {{ font-variant-numeric: tabular-nums }}
pre {{ background: var(--card); border-radius: 6px; padding: .7em .9em; font-size: .84em; white-space: pre-wrap;
  margin: .4em 0 }}
details {{ margin: .5em 0 }} summary {{ cursor: pointer; color: var(--soft) }}
</style></head><body><h1>{title}</h1>
{body}
</body></html>
"""


def page(title: str, parts: Sequence[str]) -> str:
    """A whole page. ``parts`` are HTML."""
    return _PAGE.format(title=html.escape(title), body="\n".join(p for p in parts if p))


def table(header: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "") -> str:
    """A table of plain text, which scrolls by itself where it is too wide."""
    head = "".join(f"<th>{html.escape(c)}</th>" for c in header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in rows)
    return f'<div class=wide><table class="{kind}"><tr>{head}</tr>{body}</table></div>'


def heat_table(
    corner: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[tuple[str, float, str]]]]
) -> str:
    """A table with coloured cells.

    Args:
        corner: What rows and columns are.
        columns: Heads.
        rows: Head, and of each cell its text, how bad it is from 0 to 1, and what it says when pointed at.
    """
    head = f"<th>{html.escape(corner)}</th>" + "".join(f"<th>{html.escape(c)}</th>" for c in columns)
    body = ""
    for name, cells in rows:
        shown = "".join(
            f'<td style="background:{shade(bad)}" title="{html.escape(tip, quote=True)}">{html.escape(text)}</td>'
            for text, bad, tip in cells
        )
        body += f"<tr><th>{html.escape(name)}</th>{shown}</tr>"
    return f'<div class=wide><table class="heat"><tr>{head}</tr>{body}</table></div>'


def shade(bad: float) -> str:
    """From pale green, 0, over pale yellow to orange red, 1: dark text is readable on each."""
    stops = ((201, 232, 208), (247, 233, 176), (236, 122, 92))
    share = 2 * min(max(bad, 0.0), 1.0)
    k = min(int(share), 1)
    mixed = [round(a + (b - a) * (share - k)) for a, b in zip(stops[k], stops[k + 1], strict=True)]
    return f"#{mixed[0]:02x}{mixed[1]:02x}{mixed[2]:02x}"


def box(level: str, text: str, extra: str = "") -> str:
    """A line with a coloured edge."""
    return f'<div class="box {level} {extra}">{html.escape(text)}</div>'


def tile(name: str, value: str, below: str) -> str:
    """One figure."""
    parts = f"<span>{html.escape(name)}</span><b>{html.escape(value)}</b><span>{html.escape(below)}</span>"
    return f"<div class=tile>{parts}</div>"


def image(data: bytes, kind: str, alt: str) -> str:
    """A picture inside the page."""
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return f'<img alt="{html.escape(alt, quote=True)}" src="{source}">'


def video(data: bytes) -> str:
    """An MP4 inside the page."""
    source = f"data:video/mp4;base64,{base64.b64encode(data).decode()}"
    return f'<video controls loop autoplay muted playsinline src="{source}"></video>'


def folded(summary: str, body: str) -> str:
    """What opens when it is clicked. ``body`` is HTML."""
    return f"<details><summary>{html.escape(summary)}</summary>{body}</details>"


def pre(text: str) -> str:
    """Text as it is."""
    return f"<pre>{html.escape(text)}</pre>"


def number(value: float | None) -> str:
    """Three digits, or a dash."""
    return "-" if value is None else f"{value:.3g}"
