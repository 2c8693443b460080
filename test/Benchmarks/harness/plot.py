"""Bars in SVG, readable on light and on dark pages."""

from html import escape

COLUMNS, PANEL, LABEL, BAR, GAP, HEAD, TOP, VALUE = 2, 460, 170, 14, 5, 34, 50, 44

STYLE = """
  text { font: 12px sans-serif; fill: #222 }
  .title { font-size: 15px; font-weight: bold } .heading { font-weight: bold }
  .bar { fill: #9aa5b1 } .own { fill: #2f6fde } .one { stroke: #222; stroke-dasharray: 3 3 } .page { fill: #fff }
  @media (prefers-color-scheme: dark) {
    text { fill: #ddd } .bar { fill: #66717d } .own { fill: #6ea0ff } .one { stroke: #ddd } .page { fill: #14171a }
  }
"""


def panels(title, shown):
    """One panel for each (heading, [(label, value, highlighted)]), all with a line at 1."""
    height = {row: max(_height(bars) for _, bars in shown[row:row + COLUMNS]) for row in range(0, len(shown), COLUMNS)}
    total = TOP + sum(height.values())
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {COLUMNS * PANEL} {total}" width="{COLUMNS * PANEL}" height="{total}">',
             f"<style>{STYLE}</style>", '<rect class="page" width="100%" height="100%"/>',
             f'<text class="title" x="10" y="25">{escape(title)}</text>']
    y = TOP
    for row in height:
        for column, (heading, bars) in enumerate(shown[row:row + COLUMNS]):
            parts += _panel(column * PANEL, y, heading, bars)
        y += height[row]
    return "\n".join([*parts, "</svg>", ""])


def _height(bars):
    return HEAD + len(bars) * (BAR + GAP) + GAP


def _panel(x, y, heading, bars):
    scale = (PANEL - LABEL - VALUE - 10) / max(1.0, *(value for _, value, _ in bars))
    left, one = x + LABEL, x + LABEL + scale
    yield f'<text class="heading" x="{x + 10}" y="{y + 20}">{escape(heading)}</text>'
    for number, (label, value, highlighted) in enumerate(bars):
        top = y + HEAD + number * (BAR + GAP)
        yield f'<text x="{left - 6}" y="{top + 11}" text-anchor="end">{escape(label)}</text>'
        yield f'<rect class="bar{" own" if highlighted else ""}" x="{left}" y="{top}" width="{value * scale:.1f}" height="{BAR}"/>'
        yield f'<text x="{left + value * scale + 5:.1f}" y="{top + 11}">{value:.2f}</text>'
    yield f'<line class="one" x1="{one:.1f}" x2="{one:.1f}" y1="{y + HEAD - 4}" y2="{y + HEAD + len(bars) * (BAR + GAP)}"/>'
