#!/usr/bin/env python3
"""Draws how often to re-assign, from the second table of bench/results/period.md (paper, figure 2 left).

Needs only the standard library.

    docs/figures/period_study.py > docs/figures/period-study.svg
"""
import pathlib
import re

from auction_prices import STYLE

RESULTS = pathlib.Path(__file__).resolve().parents[2] / "bench" / "results" / "period.md"
SHOWN = ("conv linear", "fc linear", "embedding linear")
WIDTH, HEIGHT, LEFT, TOP, SIDE = 420, 220, 44, 56, 130


def gains():
    """{judge: [(period, mean, smallest, largest)]} of the table behind 'Minus never'."""
    lines = RESULTS.read_text().split("Minus never", 1)[1].splitlines()
    table = [line for line in lines if line.startswith("|")]
    table = table[:next((i for i, line in enumerate(table[1:], 1) if line.startswith("| period")), None)]
    heads = [cell.strip() for cell in table[0].strip("|").split("|")]
    found = {head: [] for head in SHOWN}
    for row in table[2:]:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        for head, cell in zip(heads, cells):
            if head in found:
                found[head].append((cells[0], *map(float, re.findall(r"[-+]\d+\.\d+", cell))))
    return found


def main():
    found = gains()
    periods = [period for period, *_ in found[SHOWN[0]]]
    low = min(smallest for rows in found.values() for _, _, smallest, _ in rows)
    high = max(largest for rows in found.values() for _, _, _, largest in rows)
    bottom, top = int(low) - 1, int(high) + 1

    def x(index):
        return LEFT + WIDTH * (index + 0.5) / len(periods)

    def y(points):
        return TOP + HEIGHT * (top - points) / (top - bottom)

    parts = [f'<text class="title" x="{LEFT}" y="16">Re-assigning every N epochs, beside never</text>',
             f'<text x="{LEFT}" y="34">points of accuracy on Fashion-MNIST; bars: smallest to largest of three seeds</text>']
    for tick in range(bottom, top + 1):
        parts.append(f'<path class="{"hair" if tick else "axis"}" d="M{LEFT} {y(tick):.1f}h{WIDTH}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">'
                     f'{tick if tick == 0 else f"{tick:+d}"}</text>')
    for index, period in enumerate(periods):
        parts.append(f'<text x="{x(index):.1f}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{period}</text>')
    parts.append(f'<text x="{LEFT + WIDTH + 8}" y="{TOP + HEIGHT + 18}">N (12: once)</text>')
    for color, (judge, rows) in enumerate(found.items()):
        shift = 5 * (color - 1)
        line = " ".join(f"{x(i) + shift:.1f},{y(mean):.1f}" for i, (_, mean, _, _) in enumerate(rows))
        parts.append(f'<path class="c{color}" d="M{line}"/>')
        for i, (_, mean, smallest, largest) in enumerate(rows):
            parts.append(f'<path class="c{color}" d="M{x(i) + shift - 4:.1f} {y(mean):.1f}h8"/>')
            parts.append(f'<path class="c{color}" d="M{x(i) + shift:.1f} {y(smallest):.1f}V{y(largest):.1f}"/>')
        parts.append(f'<path class="c{color}" d="M{LEFT + WIDTH + 8} {TOP + 18 + 20 * color}h18"/>')
        parts.append(f'<text x="{LEFT + WIDTH + 32}" y="{TOP + 22 + 20 * color}">{judge}</text>')
    width, height = LEFT + WIDTH + SIDE, TOP + HEIGHT + 28
    print(f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="-8 -8 {width + 16} {height + 16}">'
          f"<title>Accuracy by the number of epochs between re-assignments</title><style>{STYLE}</style>")
    print("\n".join(parts))
    print("</svg>")


if __name__ == "__main__":
    main()
