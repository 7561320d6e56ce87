#!/usr/bin/env python3
"""Draws what training does to the features, where they can be seen: on the sphere in three dimensions.

Trains on Fashion-MNIST with targets of d = 3 (some minutes on two cores), stops on the way, takes the
embeddings of the first pictures by `nat embed`, and draws the half of the sphere in whose middle the
features lie at first. A colour stands for classes, which the training never sees. Needs only
the standard library.

    docs/figures/sphere.py build/bin/nat > docs/figures/sphere.svg
"""
import array
import json
import math
import pathlib
import subprocess
import sys
import tempfile

from auction_prices import STYLE

PRESET = ["--preset", "fmnist", "--data", "/usr/share/datasets/fashion-mnist",
          "--limit", "20000", "--dimension", "3", "--epochs", "30", "--knn-every", "0"]
STEPS_IN_EPOCH = 20000 // 128
# Running statistics describe the network after some steps; at the first one they do not yet.
SHOWN_STEPS = ((10, "after 10 steps"), (STEPS_IN_EPOCH, "after 1 epoch"),
               (6 * STEPS_IN_EPOCH, "after 6 epochs"), (30 * STEPS_IN_EPOCH, "after 30 epochs"))
POINTS, RADIUS, GAP, TOP = 1200, 92, 14, 58
KINDS = (("tops", "#3557a5", (0, 2, 4, 6)), ("dresses", "#8a4f9e", (3,)), ("trousers", "#0a7d6c", (1,)),
         ("shoes", "#b3432b", (5, 7, 9)), ("bags", "#c9971c", (8,)))


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
    """The features after each of SHOWN_STEPS."""
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = f"{scratch}/run"
        command, done = [nat, "train", *PRESET, "--out", folder], 0
        for step, _ in SHOWN_STEPS:
            run(*command, "--stop-after-steps", str(step - done), may_stop=True)
            found.append(embedded(nat, folder))
            command, done = [nat, "resume", folder], step
    return found


def facing(points):
    """Three orthonormal axes of which the last is the mean direction of the points."""
    def unit(v):
        length = math.hypot(*v)
        return tuple(x / length for x in v)

    def cross(a, b):
        return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])

    front = unit([sum(point[k] for point in points) for k in range(3)])
    right = unit(cross((0, 1, 0) if abs(front[1]) < 0.9 else (1, 0, 0), front))
    return right, cross(front, right), front


def sphere(points, axes, left):
    center_x, center_y = left + RADIUS, TOP + RADIUS
    parts = [f'<circle cx="{center_x}" cy="{center_y}" r="{RADIUS}" fill="none" stroke="#c9c9c9"/>']
    for _, color, classes in KINDS:
        dots = []
        for point in points:
            x, y, z = (sum(a * b for a, b in zip(axis, point)) for axis in axes)
            if z > 0 and point[3] in classes:
                dots.append(f"M{center_x + RADIUS * x:.1f} {center_y - RADIUS * y:.1f}h0")
        parts.append(f'<path stroke="{color}" style="stroke-width:2.4" stroke-linecap="round" d="{"".join(dots)}"/>')
    return parts


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    parts = ['<text class="title" x="4" y="16">Features on the sphere, d = 3, while they are trained without labels</text>']
    x = 4
    for name, color, _ in KINDS:
        parts.append(f'<circle cx="{x + 4:.1f}" cy="32" r="4" fill="{color}"/><text x="{x + 12:.1f}" y="36">{name}</text>')
        x += 28 + 6.4 * len(name)
    found = stages(sys.argv[1])
    axes = facing(found[0])
    for index, ((_, label), points) in enumerate(zip(SHOWN_STEPS, found)):
        left = 4 + index * (2 * RADIUS + GAP)
        parts += sphere(points, axes, left)
        parts.append(f'<text x="{left + RADIUS}" y="{TOP + 2 * RADIUS + 20}" text-anchor="middle">{label}</text>')
    width, height = 8 + len(SHOWN_STEPS) * (2 * RADIUS + GAP), TOP + 2 * RADIUS + 30
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">')
    print(f"<style>{STYLE}</style>")
    print("\n".join(parts))
    print("</svg>")


if __name__ == "__main__":
    main()
