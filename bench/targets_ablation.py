#!/usr/bin/env python3
"""What continuous targets are worth: the sphere beside the basis, as Markdown tables.

Trains and judges one network for each kind of targets, dimension and seed that has no results yet;
everything else is the preset fmnist. Of one seed both kinds begin with the same network and see the same
crops in the same order, so the second table compares them seed by seed. Needs only the standard library.

    bench/targets_ablation.py [--nat build/bin/nat] [--runs runs/targets] [--seeds 1 2 3]
"""
import pathlib
import statistics

from assignment_ablation import (accuracies, arguments, measure, print_heading, results_of, table_row,
                                 train_and_judge)

KINDS = ("sphere", "basis")
JUDGES = {"knn": "kNN", "linear": "linear", "linear_1k": "linear, 1,000 labels"}
JUDGED = [(place, key) for place in ("conv", "fc", "embedding") for key in JUDGES]
HEADS = [f"{place} {JUDGES[key]}" for place, key in JUDGED]


def print_accuracies(runs, dimensions):
    print("| targets | d | " + " | ".join(HEADS) + " |")
    print("|---|---:|" + "---:|" * len(HEADS))
    for d in dimensions:
        untrained = [accuracies(results_of(folder), JUDGED, "untrained") for folder in runs["sphere", d]]
        print(table_row(f"untrained | {d}", untrained, dict.fromkeys(untrained[0], 2)))
        for kind in KINDS:
            trained = [accuracies(results_of(folder), JUDGED, "trained") for folder in runs[kind, d]]
            print(table_row(f"{kind} | {d}", trained, dict.fromkeys(trained[0], 2)))


def print_differences(runs, dimensions):
    """Sphere - basis of the same seed, mean and range over the seeds."""
    print("\nSphere minus basis of the same seed, in points: mean (smallest .. largest).\n")
    print("| d | " + " | ".join(HEADS) + " |")
    print("|---:|" + "---:|" * len(HEADS))
    for d in dimensions:
        sphere, basis = ([accuracies(results_of(folder), JUDGED, "trained") for folder in runs[kind, d]]
                         for kind in KINDS)
        cells = []
        for key in sphere[0]:
            won = [s[key] - b[key] for s, b in zip(sphere, basis)]
            cells.append(f"{statistics.mean(won):+.2f} ({min(won):+.2f} .. {max(won):+.2f})")
        print(f"| {d} | " + " | ".join(cells) + " |")


def print_training(runs, dimensions):
    print("\n| targets | d | cosine, first epoch | before, last | after, last | moved %, last | solver steps "
          "a batch |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    decimals = {"first": 3, "before": 3, "after": 3, "moved": 1, "solver": 0}
    for d in dimensions:
        for kind in KINDS:
            print(table_row(f"{kind} | {d}", [measure(folder) for folder in runs[kind, d]], decimals))


def main():
    parser = arguments(__doc__.splitlines()[0], pathlib.Path("runs/targets"))
    parser.add_argument("--dimensions", type=int, nargs="+", default=[64, 256, 1024])
    asked = parser.parse_args()
    runs = {}
    for seed in asked.seeds:
        for d in asked.dimensions:
            for kind in KINDS:
                flags = ["--targets", kind, "--dimension", str(d)]
                runs.setdefault((kind, d), []).append(
                    train_and_judge(asked, f"{kind}-{d}", flags, seed))
    print_heading(asked, runs["sphere", asked.dimensions[0]], JUDGED)
    print_accuracies(runs, asked.dimensions)
    print_differences(runs, asked.dimensions)
    print_training(runs, asked.dimensions)


if __name__ == "__main__":
    main()
