#!/usr/bin/env python3
"""Draws what training does to the features, where they can be seen: on the sphere in three dimensions.

Trains on Fashion-MNIST with targets of d = 3 (a minute on two cores), stops on the way, takes the
embeddings of the first pictures by `nat embed`, and draws the half of the sphere that looks at the
reader. A colour is a class, which the training never sees. Needs only the standard library.

    docs/figures/sphere.py build/bin/nat > docs/figures/sphere.svg
"""
import array
import json
import pathlib
import subprocess
import sys
import tempfile

from auction_prices import STYLE

PRESET = ["--preset", "fmnist", "--data", "/usr/share/datasets/fashion-mnist",
          "--limit", "20000", "--dimension", "3", "--epochs", "30", "--knn-every", "0"]
STEPS_IN_EPOCH = 20000 // 256
SHOWN_EPOCHS = (0, 1, 6, 30)
POINTS, RADIUS, GAP, TOP = 900, 92, 14, 58
# Trousers, bags, ankle boots and the pullovers, coats and shirts that are hard to tell apart; the
# rest is grey.
CLASSES = {1: ("trousers", "#0a7d6c"), 8: ("bags", "#b8860b"), 9: ("ankle boots", "#b3432b"),
           2: ("pullovers", "#3557a5"), 7: ("sneakers", "#8a4f9e")}
OTHER = "#b9b9b9"


def run(*command, may_stop=False):
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode not in ((0, 75) if may_stop else (0,)):
        sys.exit(done.stderr)


def embedded(nat, folder):
    """[(x, y, z, class)] of the first pictures, as the newest checkpoint sees them."""
    output = pathlib.Path(folder).parent / "embedding.npy"
    run(nat, "embed", folder, "--output", output)
    raw = output.read_bytes()
    numbers = array.array("f", raw[10 + int.from_bytes(raw[8:10], "little"):])
    labels = [json.loads(line)["label"]
              for line in pathlib.Path(f"{output}.jsonl").read_text().splitlines()]
    return [(*numbers[3 * i:3 * i + 3], labels[i]) for i in range(POINTS)]


def stages(nat):
    """The features after each of SHOWN_EPOCHS; after 0 epochs means after the first step."""
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = f"{scratch}/run"
        steps = [max(1, epoch * STEPS_IN_EPOCH) for epoch in SHOWN_EPOCHS]
        command = [nat, "train", *PRESET, "--out", folder]
        done = 0
        for step in steps:
            run(*command, "--stop-after-steps", str(step - done), may_stop=True)
            found.append(embedded(nat, folder))
            command, done = [nat, "resume", folder], step
    return found


def sphere(points, left):
    """Those in front, the far ones first; the sphere is seen from the direction of their mean."""
    center_x, center_y = left + RADIUS, TOP + RADIUS
    parts = [f'<circle class="axis" cx="{center_x}" cy="{center_y}" r="{RADIUS}" fill="none"/>']
    for color in dict.fromkeys([OTHER, *(color for _, color in CLASSES.values())]):
        dots = [f"M{center_x + RADIUS * x:.1f} {center_y - RADIUS * y:.1f}h0"
                for x, y, z, label in points
                if z > 0 and CLASSES.get(label, ("", OTHER))[1] == color]
        parts.append(f'<path stroke="{color}" stroke-width="2.6" stroke-linecap="round" d="{"".join(dots)}"/>')
    return parts


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    parts = ['<text class="title" x="4" y="16">Features on the sphere, d = 3, while they are trained without labels</text>']
    x = 4
    for name, color in [*CLASSES.values(), ("five other classes", OTHER)]:
        parts.append(f'<circle cx="{x + 4}" cy="32" r="4" fill="{color}"/><text x="{x + 12}" y="36">{name}</text>')
        x += 28 + 6.4 * len(name)
    for index, (epoch, points) in enumerate(zip(SHOWN_EPOCHS, stages(sys.argv[1]))):
        left = 4 + index * (2 * RADIUS + GAP)
        parts += sphere(points, left)
        label = "at the start" if epoch == 0 else f"after {epoch} epoch{'s' if epoch > 1 else ''}"
        parts.append(f'<text x="{left + RADIUS}" y="{TOP + 2 * RADIUS + 20}" text-anchor="middle">{label}</text>')
    width, height = 8 + len(SHOWN_EPOCHS) * (2 * RADIUS + GAP), TOP + 2 * RADIUS + 30
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">')
    print(STYLE)
    print("\n".join(parts))
    print("</svg>")


if __name__ == "__main__":
    main()
