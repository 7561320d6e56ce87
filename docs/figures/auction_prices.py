#!/usr/bin/env python3
"""Draws how prices rise in an auction: one small raise, raises that shrink, and these cut short.

The auction is that of kernels/lap_auction.h in its plainest form, over integers, on a problem of twelve
rows whose wishes differ little. Needs only the standard library.

    docs/figures/auction_prices.py > docs/figures/auction-prices.svg
"""
import random
import re

N = 12
RANGE = 1000


def alike_scores():
    """All rows like the same columns; what a row itself prefers adds a tenth."""
    draw = random.Random(7)
    liked = [draw.randrange(RANGE) for _ in range(N)]
    return [[round(0.9 * liked[j]) + draw.randrange(RANGE // 10) for j in range(N)] for _ in range(N)]


def hold_phase(scores, price, raise_, free_rows, trace):
    """Rounds of bids until no more than free_rows rows are free; returns row -> column or None."""
    column, owner = [None] * N, [None] * N
    while sum(c is None for c in column) > free_rows:
        bids = {}
        for i in (i for i in range(N) if column[i] is None):
            profit = [scores[i][j] - price[j] for j in range(N)]
            best = max(range(N), key=lambda j: profit[j])
            second = max(profit[j] for j in range(N) if j != best)
            bid = price[best] + profit[best] - second + raise_
            bids[best] = max(bids.get(best, (0, 0)), (bid, -i))
        for j, (bid, minus_i) in bids.items():
            if owner[j] is not None:
                column[owner[j]] = None
            price[j], owner[j], column[-minus_i] = bid, -minus_i, j
        trace.append(list(price))
    return column


def leave_content(scores, price, column, raise_):
    """Rows that are content only up to the raise become free, so that chains can finish exactly."""
    for i, j in enumerate(column):
        if j is not None and scores[i][j] - price[j] < max(s - p for s, p in zip(scores[i], price)):
            column[i] = None


def place(scores, price, column, row):
    """The cheapest chain of exchanges from a free row to a free column; prices keep rows content."""
    owner = {j: i for i, j in enumerate(column) if j is not None}
    distance, come_from, closed = {}, {}, {}
    i, so_far = row, 0
    while True:
        most = max(scores[i][j] - price[j] for j in range(N))
        for j in (j for j in range(N) if j not in closed):
            offer = so_far + most - (scores[i][j] - price[j])
            if offer < distance.get(j, float("inf")):
                distance[j], come_from[j] = offer, i
        j = min((j for j in range(N) if j not in closed), key=lambda j: distance[j])
        if j not in owner:
            break
        closed[j], i, so_far = distance[j], owner[j], distance[j]
    for k, at in closed.items():
        price[k] += distance[j] - at
    i = None
    while i != row:
        i = come_from[j]
        j, column[i] = column[i], j


def auction(scores, raises, free_rows):
    """The price of each column after each round, and the assignment."""
    price, trace, column = [0] * N, [[0] * N], None
    for raise_ in raises:
        column = hold_phase(scores, price, raise_, free_rows, trace)
    if free_rows > 0:
        leave_content(scores, price, column, raises[-1])
        for i in [i for i in range(N) if column[i] is None]:
            place(scores, price, column, i)
        trace.append(list(price))
    return trace, column


def certificate(scores, price, column):
    value = sum(scores[i][column[i]] for i in range(N))
    bound = sum(max(s - p for s, p in zip(row, price)) for row in scores) + sum(price)
    return value, bound


STYLE = """
:root{color-scheme:light dark;--page:#fcfcfa;--ink:#1d2329;--muted:#6c757f;--hair:#e6e6e1;--axis:#b9bdc1;
--c0:#1f66b5;--c1:#c2571a;--c2:#2e8555;--c3:#7d52b3}
@media(prefers-color-scheme:dark){:root{--page:#14171a;--ink:#e9ebee;--muted:#949ca5;--hair:#2b3138;--axis:#525b65;
--c0:#6aaaf0;--c1:#ee9558;--c2:#65c08f;--c3:#b794e6}}
text{font:12px system-ui,"Liberation Sans",Arial,sans-serif;fill:var(--muted)}
svg{background:var(--page)}
.title{font-size:13px;font-weight:600;fill:var(--ink)}
path{fill:none;stroke-width:1.5;stroke-linejoin:round}
.axis{stroke:var(--axis)}.hair{stroke:var(--hair)}
.c0{stroke:var(--c0)}.c1{stroke:var(--c1)}.c2{stroke:var(--c2)}.c3{stroke:var(--c3)}"""
# Programs other than browsers often know no custom properties: they get the light colours.
LIGHT = dict(re.findall(r"(--\w+):(#\w+)", STYLE.split("@media")[0]))
STYLE = re.sub(r"(\w+):var\((--\w+)\)", lambda use: f"{use[1]}:{LIGHT[use[2]]};{use[0]}", STYLE)

WIDTH, HEIGHT, LEFT, TOP, GAP = 210, 170, 44, 66, 34


def panel(index, title, note, trace, rounds, top):
    """One chart: a line for each column, its price over the rounds; chains come after the last."""
    x0, y0 = LEFT + index * (WIDTH + GAP), TOP + HEIGHT
    last = len(trace) - 1
    parts = [f'<text class="title" x="{x0}" y="20">{title}</text>',
             f'<text x="{x0}" y="37">{note}</text>']
    for tick in range(0, top + 1, 500):
        y = y0 - HEIGHT * tick / top
        parts.append(f'<path class="{"hair" if tick else "axis"}" d="M{x0} {y:.1f}h{WIDTH}"/>')
        if index == 0:
            parts.append(f'<text x="{x0 - 6}" y="{y + 4:.1f}" text-anchor="end">{tick}</text>')
        if index == 0 and tick == top:
            parts.append(f'<text x="{x0 - 6}" y="{y - 11:.1f}" text-anchor="end">price</text>')
    for j in range(N):
        points = " ".join(f"{x0 + WIDTH * t / last:.1f},{y0 - HEIGHT * price[j] / top:.1f}"
                          for t, price in enumerate(trace))
        parts.append(f'<path class="c{j % 4}" d="M{points}"/>')
    parts.append(f'<text x="{x0}" y="{y0 + 16}">round 0</text>')
    end = x0 + WIDTH * rounds / last
    if rounds < last:
        parts.append(f'<path class="axis" d="M{end:.1f} {y0}v{-HEIGHT}" stroke-dasharray="3 3"/>')
        parts.append(f'<text x="{end - 4:.1f}" y="{y0 - HEIGHT + 13}" text-anchor="end">chains</text>')
    parts.append(f'<text x="{end:.1f}" y="{y0 + 16}" text-anchor="end">{rounds}</text>')
    return parts


def main():
    scores = alike_scores()
    runs = [("one raise of 1", [1], 0), ("raises 64, 8, 1", [64, 8, 1], 0),
            ("raises 64, 8, then chains", [64, 8], 2)]
    traces, notes, counts = [], [], []
    for _, raises, free_rows in runs:
        trace, column = auction(scores, raises, free_rows)
        value, bound = certificate(scores, trace[-1], column)
        traces.append(trace)
        rounds = len(trace) - 1 - (free_rows > 0)
        counts.append(rounds)
        notes.append(f"{rounds} rounds: value {value}, bound {bound}")
    top = max(max(price) for trace in traces for price in trace)
    top += -top % 500
    parts = []
    for index, ((title, _, _), note, trace, rounds) in enumerate(zip(runs, notes, traces, counts)):
        parts += panel(index, title, note, trace, rounds, top)
    width, height = LEFT + 3 * WIDTH + 2 * GAP + 10, TOP + HEIGHT + 26
    print(f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="-8 -8 {width + 16} {height + 16}">'
          f"<title>Prices of twelve columns over the rounds of three auctions</title>"
          f"<style>{STYLE}</style>")
    print("\n".join(parts))
    print("</svg>")


if __name__ == "__main__":
    main()
