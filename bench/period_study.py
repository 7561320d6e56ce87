#!/usr/bin/env python3
"""How often to re-assign: the period between re-assignments in epochs (paper, figure 2), as Markdown tables.

Trains and judges one network for each period and seed that has no results yet; everything else is the
preset fmnist. Of one seed every period begins with the same network and sees the same crops in the same
order, so the second table compares them seed by seed. Needs only the standard library.

    bench/period_study.py [--nat build/bin/nat] [--runs runs/period] [--seeds 1 2 3]
"""
import pathlib
import statistics

from assignment_ablation import (accuracies, arguments, print_heading, results_of, rows_of, table_row,
                                 train_and_judge)

NEVER = 0
JUDGES = {"knn": "kNN", "linear": "linear"}
JUDGED = [(place, key) for place in ("conv", "fc", "embedding") for key in JUDGES]
HEADS = [f"{place} {JUDGES[key]}" for place, key in JUDGED]


def label(period):
    return "never" if period == NEVER else str(period)


def trained(folders):
    return [accuracies(results_of(folder), JUDGED, "trained") for folder in folders]


def print_accuracies(runs, epochs):
    print("| period | epochs that re-assign | " + " | ".join(HEADS) + " |")
    print("|---|---:|" + "---:|" * len(HEADS))
    untrained = [accuracies(results_of(folder), JUDGED, "untrained") for folder in next(iter(runs.values()))]
    print(table_row("untrained | -", untrained, dict.fromkeys(untrained[0], 2)))
    for period, folders in runs.items():
        count = 0 if period == NEVER else (epochs - 1) // period + 1
        print(table_row(f"{label(period)} | {count}", trained(folders), dict.fromkeys(untrained[0], 2)))


def print_differences(runs):
    """What a period wins over never re-assigning, with the same seed."""
    print("\nMinus never of the same seed, in points: mean (smallest .. largest).\n")
    print("| period | " + " | ".join(HEADS) + " |")
    print("|---|" + "---:|" * len(HEADS))
    never = trained(runs[NEVER])
    for period, folders in runs.items():
        if period == NEVER:
            continue
        cells = []
        for key in never[0]:
            won = [run[key] - fixed[key] for run, fixed in zip(trained(folders), never)]
            cells.append(f"{statistics.mean(won):+.2f} ({min(won):+.2f} .. {max(won):+.2f})")
        print(f"| {label(period)} | " + " | ".join(cells) + " |")


def training(folder):
    """The last epoch of a run: its features and the targets they held before it re-assigned, if it did."""
    last = rows_of(folder, "metrics.csv")[-1]
    return {"loss": last["loss"], "cosine": last["cosine_before"]}


def print_training(runs):
    print("\n| period | loss, last epoch | cosine to the targets held, last epoch |")
    print("|---|---:|---:|")
    decimals = {"loss": 4, "cosine": 3}
    for period, folders in runs.items():
        print(table_row(label(period), [training(folder) for folder in folders], decimals))


def main():
    parser = arguments(__doc__.splitlines()[0], pathlib.Path("runs/period"))
    parser.set_defaults(limit=60000)
    parser.add_argument("--periods", type=int, nargs="+", default=[NEVER, 1, 2, 3, 6, 12])
    asked = parser.parse_args()
    runs = {}
    for seed in asked.seeds:
        for period in asked.periods:
            runs.setdefault(period, []).append(
                train_and_judge(asked, f"every-{period}", ["--period", str(period)], seed))
    print_heading(asked, runs[asked.periods[0]], JUDGED)
    print_accuracies(runs, asked.epochs)
    if NEVER in asked.periods:
        print_differences(runs)
    print_training(runs)


if __name__ == "__main__":
    main()
