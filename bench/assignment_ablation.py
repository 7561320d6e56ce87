#!/usr/bin/env python3
"""What the assignment is worth: pools and solvers beside each other, as a Markdown table.

Trains and judges one network for each pool, solver and seed that has no results yet; everything else is
the preset fmnist, but for flags of `nat train` behind `--`. Needs only the standard library.

    bench/assignment_ablation.py [--nat build/bin/nat] [--runs runs/ablation] [--seeds 1] [-- --schedule cosine]
"""
import argparse
import csv
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
import tomllib

FASHION_MNIST = "/usr/share/datasets/fashion-mnist"
# exact is the auction from 1024 pictures on; both names are run there to show it.
CONFIGURATIONS = ([("none", 256)] +
                  [(solver, pool) for solver in ("greedy", "sinkhorn", "exact")
                   for pool in (256, 1024, 4096)] + [("auction", 256), ("auction", 1024)])
JUDGED = (("conv", "knn"), ("fc", "linear_1k"), ("embedding", "knn"))


def configuration(folder):
    return tomllib.loads((folder / "config.toml").read_text())


def pairs(flags):
    """{"--name": "value", ...} of the words of a command line."""
    return dict(zip(flags[::2], flags[1::2]))


def require_same(asked, folder, training):
    """A run that is there already must be of the pictures, the length and the flags that are asked for."""
    kind, colon, path = asked.data.rpartition(":")
    wanted = {"limit": asked.limit, "epochs": asked.epochs, "data": kind + colon + os.path.abspath(path)}
    wanted |= {flag.removeprefix("--"): value for flag, value in training.items()}
    found = configuration(folder)
    for name, value in wanted.items():
        if type(found[name])(value) != found[name]:
            sys.exit(f"{folder}: a run with {name} = {found[name]}, not {value}; give another --runs")


def train_and_judge(asked, name, flags, seed):
    """The folder of a run, trained with these flags (and those asked for) and judged when it was not yet."""
    folder = asked.runs / f"{name}-seed{seed}"
    training = pairs(asked.training) | pairs(flags)
    begun = (folder / "config.toml").exists()
    if begun:
        require_same(asked, folder, training)
    if (folder / "results.json").exists():
        return folder
    train = ["train", "--data", asked.data, "--limit", str(asked.limit), "--epochs",
             str(asked.epochs), "--seed", str(seed), "--out", str(folder), *itertools.chain(*training.items())]
    subprocess.run([asked.nat] + (["resume", str(folder)] if begun else train), check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run([asked.nat, "eval", "all", str(folder)], check=True, stdout=subprocess.DEVNULL)
    return folder


def rows_of(folder, name):
    with open(folder / name, newline="") as file:
        return [{key: float(value or "nan") for key, value in row.items()}
                for row in csv.DictReader(file)]


def results_of(folder):
    return json.loads((folder / "results.json").read_text())


def accuracies(results, judged, which):
    """In percent; `which` is trained or untrained."""
    return {f"{place} {key}": 100 * results[place][key][which] for place, key in judged}


def measure(folder):
    """What the logs say of one run; solver: its steps a batch, where batches are re-assigned."""
    metrics, timing = rows_of(folder, "metrics.csv"), rows_of(folder, "timing.csv")
    assigned = [row for row in metrics if row["reassigned"]] or metrics
    return {"first": assigned[0]["cosine_after"],
            "before": assigned[-1]["cosine_before"],
            "after": assigned[-1]["cosine_after"],
            "moved": 100 * assigned[-1]["moved"],
            "solver": sum(row["solver_steps"] for row in assigned) / len(assigned) / metrics[0]["steps"],
            "assign": sum(row["assign"] for row in timing),
            "train": sum(row["seconds"] for row in timing)}


def table_row(label, runs, decimals):
    means = [statistics.mean(run[key] for run in runs) for key in decimals]
    # "+ 0.0" makes 0.000 of what would be -0.000.
    numbers = [f"{round(mean, d) + 0.0:.{d}f}" for mean, d in zip(means, decimals.values())]
    return f"| {label} | {' | '.join(numbers)} |"


def print_heading(asked, folders, judged):
    first = results_of(folders[0])
    error = 100 * statistics.mean(first[place][key]["stderr"] for place, key in judged)
    print(f"{time.strftime('%Y-%m-%d')}; {asked.limit} pictures of {asked.data}, {asked.epochs} epochs, "
          f"seeds {asked.seeds}: means. Accuracy in percent on {first['conv']['knn']['n_test']} test "
          f"pictures; one standard error of a single figure is about {error:.2f}.\n")


def print_table(asked, folders):
    some = next(iter(folders.values()))  # one run of each seed
    print_heading(asked, some, JUDGED)
    print("| solver | pool | conv kNN | fc linear, 1,000 labels | embedding kNN | cosine, first epoch "
          "| before, last | after, last | assign s | train s |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    judged = {f"{place} {key}": 2 for place, key in JUDGED}
    untrained = [accuracies(results_of(folder), JUDGED, "untrained") for folder in some]
    print(table_row("untrained | -", untrained, judged) + " - | - | - | - | - |")
    decimals = judged | {"first": 3, "before": 3, "after": 3, "assign": 2, "train": 1}
    for (solver, pool), seeds in folders.items():
        figures = [accuracies(results_of(folder), JUDGED, "trained") | measure(folder)
                   for folder in seeds]
        print(table_row(f"{solver} | {pool}", figures, decimals))


def arguments(description, runs):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--nat", default="build/bin/nat")
    parser.add_argument("--runs", type=pathlib.Path, default=runs)
    parser.add_argument("--data", default=FASHION_MNIST)
    parser.add_argument("--limit", type=int, default=20480)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("training", nargs="*", metavar="-- --flag value",
                        help="flags of nat train for every run")
    return parser


def main():
    asked = arguments(__doc__.splitlines()[0], pathlib.Path("runs/ablation")).parse_args()
    folders = {(solver, pool): [train_and_judge(asked, f"{solver}-{pool}",
                                                ["--solver", solver, "--assign-pool", str(pool)], seed)
                                for seed in asked.seeds]
               for solver, pool in CONFIGURATIONS}
    print_table(asked, folders)


if __name__ == "__main__":
    main()
