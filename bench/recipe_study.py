#!/usr/bin/env python3
"""What the values of the preset fmnist are worth: one of them changed at a time, as Markdown tables.

Trains and judges one network for each value and seed that has no results yet. The second table asks which
number of the training log, seen without labels, would have told good values from bad ones: its rank correlation
(Spearman) with the accuracies over all runs. Needs only the standard library.

    bench/recipe_study.py [--nat build/bin/nat] [--runs runs/recipe] [--seeds 1]
"""
import math
import pathlib

from assignment_ablation import (accuracies, arguments, print_heading, results_of, rows_of, table_row,
                                 train_and_judge)

PRESET = {"lr": "0.1", "dimension": "64", "batch": "256", "min-area": "0.5", "momentum": "0.9",
          "schedule": "cosine"}
TRIED = {"lr": ["0.01", "0.03", "0.3", "1"],
         "dimension": ["16", "32", "128", "256", "1024"],
         "batch": ["64", "128", "512"],
         "min-area": ["0.25", "0.75"],
         "momentum": ["0"],
         "schedule": ["constant"]}
JUDGED = [(place, judge) for place in ("conv", "fc", "embedding") for judge in ("knn", "linear")]
NAMES = {"knn": "kNN", "linear": "linear"}
SEEN = {"loss": "loss, last epoch", "cosine": "cosine to the targets held, last epoch",
        "scaled": "the same times sqrt(d)", "moved": "share moved, last re-assignment"}


def configurations():
    """Name of a row and what is changed in it; nothing in the first."""
    return {"preset": {}} | {f"{option} {value}": {option: value}
                             for option, values in TRIED.items() for value in values}


def seen_without_labels(folder, dimension):
    metrics = rows_of(folder, "metrics.csv")
    assigned = [row for row in metrics if row["reassigned"]]
    cosine = metrics[-1]["cosine_before"]
    return {"loss": metrics[-1]["loss"], "cosine": cosine, "scaled": cosine * math.sqrt(dimension),
            "moved": 100 * assigned[-1]["moved"]}


def ranks(values):
    """Of each value, equal ones sharing the mean of their ranks."""
    return [sum(other < value for other in values) + (sum(other == value for other in values) - 1) / 2
            for value in values]


def rank_correlation(left, right):
    a, b = ranks(left), ranks(right)
    mean = (len(a) - 1) / 2
    products = sum((x - mean) * (y - mean) for x, y in zip(a, b))
    squares = sum((x - mean) ** 2 for x in a) * sum((y - mean) ** 2 for y in b)
    return products / math.sqrt(squares) if squares > 0 else float("nan")


def print_values(runs):
    heads = [f"{place} {NAMES[judge]}" for place, judge in JUDGED]
    print("| changed | " + " | ".join(heads) + " | " + " | ".join(SEEN.values()) + " |")
    print("|---|" + "---:|" * (len(heads) + len(SEEN)))
    decimals = {f"{place} {judge}": 2 for place, judge in JUDGED}
    preset = [accuracies(results_of(folder), JUDGED, "untrained") for folder, _ in runs["preset"]]
    print(table_row("untrained", preset, decimals) + " - |" * len(SEEN))
    decimals |= {"loss": 3, "cosine": 3, "scaled": 2, "moved": 1}
    for name, seeds in runs.items():
        print(table_row(name, [figures for _, figures in seeds], decimals))


def print_correlations(runs):
    every = [figures for seeds in runs.values() for _, figures in seeds]
    print(f"\nRank correlation with the accuracy over these {len(every)} runs.\n")
    print("| seen without labels | " + " | ".join(f"{place} {NAMES[judge]}" for place, judge in JUDGED) + " |")
    print("|---|" + "---:|" * len(JUDGED))
    for key, name in SEEN.items():
        cells = [rank_correlation([run[key] for run in every], [run[f"{place} {judge}"] for run in every])
                 for place, judge in JUDGED]
        print(f"| {name} | " + " | ".join(f"{cell:+.2f}" for cell in cells) + " |")


def main():
    parser = arguments(__doc__.splitlines()[0], pathlib.Path("runs/recipe"))
    parser.set_defaults(limit=60000)
    asked = parser.parse_args()
    runs = {}
    for seed in asked.seeds:
        for name, changed in configurations().items():
            flags = [word for option, value in changed.items() for word in (f"--{option}", value)]
            folder = train_and_judge(asked, name.replace(" ", "-"), flags, seed)
            figures = accuracies(results_of(folder), JUDGED, "trained")
            dimension = int((PRESET | changed)["dimension"])
            runs.setdefault(name, []).append((folder, figures | seen_without_labels(folder, dimension)))
    print_heading(asked, [folder for folder, _ in runs["preset"]], JUDGED)
    print_values(runs)
    print_correlations(runs)


if __name__ == "__main__":
    main()
