"""Small pieces of HTML: bars and lamps. Everything that is put in is escaped."""

from html import escape

_GOOD, _BAD, _BACK = "#2b8a3e", "#c92a2a", "rgba(128,128,128,0.18)"


def bar(name: str, value: float, scale: float, key: str) -> str:
    """A row with a name, a bar from the middle to the right (positive) or left, and the number.

    Args:
        name: What it is.
        value: How much.
        scale: The value that fills the bar.
        key: For the attribute ``data-KEY``, which holds the name; ``data-value`` holds the number.
    """
    share = min(abs(value) / scale, 1.0) * 50 if scale > 0 else 0.0
    left = 50.0 if value >= 0 else 50.0 - share
    fill = f"left:{left:.1f}%;width:{share:.1f}%;background:{_GOOD if value >= 0 else _BAD}"
    return (
        f'<div data-{key}="{escape(name)}" data-value="{value:.4f}" style="display:flex;align-items:center;gap:6px">'
        f'<span style="flex:0 0 42%;overflow:hidden;text-overflow:ellipsis">{escape(name)}</span>'
        f'<span style="position:relative;flex:1;height:9px;background:{_BACK};border-radius:2px">'
        f'<span style="position:absolute;top:0;bottom:0;{fill}"></span></span>'
        f'<span style="flex:0 0 52px;text-align:right">{value:+.3f}</span></div>'
    )


def lamp(name: str, on: bool) -> str:
    """A dot that is lit or not, and its name."""
    colour = _GOOD if on else _BACK
    return (
        f'<span data-contact="{escape(name)}" data-on="{int(on)}" style="white-space:nowrap;margin-right:10px">'
        f'<span style="display:inline-block;width:10px;height:10px;border-radius:5px;background:{colour}"></span> '
        f"{escape(name)}</span>"
    )


def box(content: str, **attributes: object) -> str:
    """A block of text in the panel's type; the attributes become ``data-`` ones."""
    data = "".join(f' data-{name.replace("_", "-")}="{escape(str(value))}"' for name, value in attributes.items())
    style = "font:12px/1.5 ui-monospace,monospace;padding:4px 12px 6px"
    return f'<div style="{style}"{data}>{content}</div>'
