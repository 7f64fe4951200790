"""Line plots as SVG, by hand: readable on light and on dark ground, axes with units, dashed lines for limits."""
import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 230, 44, 52
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #333 } .title { font-size: 15px; font-weight: 600 }
  .grid { stroke: #8884; stroke-width: 1 } .axis { stroke: #888 } .line { fill: none; stroke-width: 2.2 } .limit { stroke-dasharray: 6 5; stroke-width: 1.6 }
  .c0 { stroke: #0969da } .c1 { stroke: #bc4c00 } .c2 { stroke: #1a7f37 } .c3 { stroke: #8250df } .c4 { stroke: #6e7781 } .c5 { stroke: #a40e57 }
  .f0 { fill: #0969da } .f1 { fill: #bc4c00 } .f2 { fill: #1a7f37 } .f3 { fill: #8250df } .f4 { fill: #6e7781 } .f5 { fill: #a40e57 }
  @media (prefers-color-scheme: dark) {
    text { fill: #d0d7de }
    .c0 { stroke: #58a6ff } .c1 { stroke: #f0883e } .c2 { stroke: #56d364 } .c3 { stroke: #bc8cff } .c4 { stroke: #9198a1 } .c5 { stroke: #ff7eb6 }
    .f0 { fill: #58a6ff } .f1 { fill: #f0883e } .f2 { fill: #56d364 } .f3 { fill: #bc8cff } .f4 { fill: #9198a1 } .f5 { fill: #ff7eb6 }
  }"""


class Axis:
    def __init__(self, values, logarithmic, low, high, ticks=None):
        self.log = logarithmic
        least, most = min(values), max(values)
        if logarithmic:
            self.ticks = ticks or steps(least, most)
            self.least, self.most = min(least, self.ticks[0]), max(most, self.ticks[-1])
        else:
            step = nice(most / 5)
            self.ticks = ticks or [step * i for i in range(math.ceil(most / step) + 1)]
            self.least, self.most = 0, max(most, self.ticks[-1])
        self.low, self.high = low, high

    def __call__(self, value):
        if self.log:
            share = math.log(value / self.least) / math.log(self.most / self.least or 2) if self.most > self.least else 0.5
        else:
            share = (value - self.least) / (self.most - self.least)
        return self.low + share * (self.high - self.low)


def nice(step):
    power = 10 ** math.floor(math.log10(step)) if step > 0 else 1
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= step * 0.999)


def steps(least, most):
    """1, 2, 5, 10, ... around a range."""
    found = [10 ** power * factor for power in range(-3, 13) for factor in (1, 2, 5)]
    inner = [value for value in found if least * 0.999 <= value <= most * 1.001]
    below = max((value for value in found if value < least * 0.999), default=least)
    above = min((value for value in found if value > most * 1.001), default=most)
    return [below, *inner, above]


def number(value):
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:g}"


def lines(title, x_label, y_label, series, x_log=True, y_log=True, x_ticks=None):
    """One SVG. A series is {"name", "points": [[x, y]], "color": index, "limit": bool, "dots": bool}."""
    series = [one for one in series if one["points"]]
    xs = [x for one in series for x, _ in one["points"]]
    ys = [y for one in series for _, y in one["points"]]
    across = Axis(xs, x_log, LEFT, WIDTH - RIGHT, x_ticks)
    up = Axis(ys, y_log, HEIGHT - BOTTOM, TOP)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
             f"<style>{STYLE}\n</style>", f'<text class="title" x="{LEFT}" y="24">{escape(title)}</text>']
    for tick in up.ticks:
        y = up(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
                     f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{number(tick)}</text>')
    for tick in across.ticks:
        x = across(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
                     f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{number(tick)}</text>')
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM}"/>'
                 f'<line class="axis" x1="{LEFT}" x2="{LEFT}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 12}" text-anchor="middle">{escape(x_label)}</text>'
                 f'<text x="18" y="{middle}" text-anchor="middle" transform="rotate(-90 18 {middle})">{escape(y_label)}</text>')
    ends = []
    for one in series:
        points = [(across(x), up(y)) for x, y in sorted(one["points"])]
        color = one.get("color", 0) % 6
        if not one.get("dots"):
            path = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
            parts.append(f'<path class="line c{color}{" limit" if one.get("limit") else ""}" d="{path}"/>')
        if not one.get("limit"):
            parts += [f'<circle class="f{color}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>' for x, y in points]
        if one["name"]:
            ends.append([points[-1][1], one["name"], color])
    ends.sort()
    for upper, lower in zip(ends, ends[1:]):  # labels at the ends of the lines, pushed apart
        lower[0] = max(lower[0], upper[0] + 16)
    shift = max(0, ends[-1][0] - (HEIGHT - BOTTOM)) if ends else 0
    for y, name, color in ends:
        parts.append(f'<text class="f{color}" x="{WIDTH - RIGHT + 8}" y="{y - shift + 4:.1f}">{escape(name)}</text>')
    return "\n".join(parts) + "\n</svg>\n"
