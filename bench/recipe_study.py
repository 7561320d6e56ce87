#!/usr/bin/env python3
"""What the values of the preset fmnist are worth: one of them changed at a time, as Markdown tables.

Trains and judges one network for each value and seed that has no results yet. The second table asks which
number of the training log, seen without labels, goes with what a value is worth: its rank correlation
(Spearman) over the values with what training won. Flags of `nat train` behind `--` change the preset of
every row. Needs only the standard library.

    bench/recipe_study.py [--nat build/bin/nat] [--runs runs/recipe] [--seeds 1] [-- --batch 256]
"""
import math
import pathlib
import statistics
import subprocess

from assignment_ablation import (accuracies, arguments, configuration, print_heading, results_of, rows_of,
                                 train_and_judge)

# What the preset has is left out.
TRIED = {"lr": ["0.01", "0.03", "0.3", "1"],
         "dimension": ["16", "32", "128", "256", "1024"],
         "batch": ["64", "128", "256", "512"],
         "min-area": ["0.25", "0.75"],
         "momentum": ["0"],
         "schedule": ["constant", "cosine"]}
JUDGED = [(place, judge) for place in ("conv", "fc", "embedding") for judge in ("knn", "linear")]
NAMES = {"knn": "kNN", "linear": "linear"}
HEADS = [f"{place} {NAMES[judge]}" for place, judge in JUDGED]
SEEN = {"cosine": "cosine to the targets held, last epoch", "scaled": "the same times sqrt(d)",
        "moved": "% moved, last re-assignment"}
DIVERGED = 5  # exit code of nat


def changes(preset):
    """Name of a row and the flags of what is changed in it."""
    return {f"{option} {value}": [f"--{option}", value] for option, values in TRIED.items() for value in values
            if preset[option] != type(preset[option])(value)}


def seen_without_labels(folder):
    metrics = rows_of(folder, "metrics.csv")
    assigned = [row for row in metrics if row["reassigned"]]
    cosine = metrics[-1]["cosine_before"]
    return {"cosine": cosine, "scaled": cosine * math.sqrt(configuration(folder)["dimension"]),
            "moved": 100 * assigned[-1]["moved"]}


def measured(asked, name, flags, seed):
    """What a run has won over its own network untrained, and the rest; None where it diverged."""
    try:
        folder = train_and_judge(asked, name.replace(" ", "-"), flags, seed)
    except subprocess.CalledProcessError as error:
        if error.returncode == DIVERGED:
            return None
        raise
    results = results_of(folder)
    trained, untrained = (accuracies(results, JUDGED, which) for which in ("trained", "untrained"))
    return {"folder": folder, "trained": trained, "seen": seen_without_labels(folder),
            "gain": {key: trained[key] - untrained[key] for key in trained}}


def mean(seeds, kind, key):
    return statistics.mean(run[kind][key] for run in seeds)


def print_values(runs):
    print("Trained, and in brackets what that is more than the same network untrained (whose embedding is the better "
          "the larger d is).\n")
    print("| changed | " + " | ".join(HEADS + list(SEEN.values())) + " |")
    print("|---|" + "---:|" * (len(HEADS) + len(SEEN)))
    for name, seeds in runs.items():
        if None in seeds:
            print(f"| {name} | diverged |" + " |" * (len(HEADS) + len(SEEN) - 1))
            continue
        cells = [f"{mean(seeds, 'trained', key):.2f} ({mean(seeds, 'gain', key):+.2f})"
                 for key in seeds[0]["trained"]]
        seen = [f"{mean(seeds, 'seen', 'cosine'):.3f}", f"{mean(seeds, 'seen', 'scaled'):.2f}",
                f"{mean(seeds, 'seen', 'moved'):.1f}"]
        print(f"| {name} | " + " | ".join(cells + seen) + " |")


def ranks(values):
    """Of each value, equal ones sharing the mean of their ranks."""
    return [sum(other < value for other in values) + (sum(other == value for other in values) - 1) / 2
            for value in values]


def rank_correlation(left, right):
    a, b = ranks(left), ranks(right)
    middle = (len(a) - 1) / 2
    products = sum((x - middle) * (y - middle) for x, y in zip(a, b))
    squares = sum((x - middle) ** 2 for x in a) * sum((y - middle) ** 2 for y in b)
    return products / math.sqrt(squares) if squares > 0 else float("nan")


def print_correlations(runs):
    values = [seeds for seeds in runs.values() if None not in seeds]
    chance = 1.96 / math.sqrt(len(values) - 1)
    print(f"\nRank correlation with the gain, over these {len(values)} values (means of their seeds). Of numbers that have "
          f"nothing to do with each other one in twenty is beyond about {chance:.2f}.\n")
    print("| seen without labels | " + " | ".join(HEADS) + " |")
    print("|---|" + "---:|" * len(HEADS))
    for seen, name in SEEN.items():
        cells = [rank_correlation([mean(seeds, "seen", seen) for seeds in values],
                                  [mean(seeds, "gain", key) for seeds in values])
                 for key in values[0][0]["gain"]]
        print(f"| {name} | " + " | ".join(f"{cell:+.2f}" for cell in cells) + " |")


def main():
    parser = arguments(__doc__.splitlines()[0], pathlib.Path("runs/recipe"))
    parser.set_defaults(limit=60000)
    asked = parser.parse_args()
    runs = {"preset": [measured(asked, "preset", [], seed) for seed in asked.seeds]}
    for name, flags in changes(configuration(runs["preset"][0]["folder"])).items():
        runs[name] = [measured(asked, name, flags, seed) for seed in asked.seeds]
    print_heading(asked, [run["folder"] for run in runs["preset"]], JUDGED)
    print_values(runs)
    print_correlations(runs)


if __name__ == "__main__":
    main()
