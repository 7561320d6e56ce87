#!/usr/bin/env python3
"""What the features are worth over several seeds, as a Markdown table.

Trains and judges a run for every seed that has no results yet, then prints mean and range over the
seeds. Needs only the standard library.

    bench/seeds.py                                        # nat demo: runs/demo-1, -2, -3
    bench/seeds.py --preset cifar --data folder:CIFAR10   # nat train and nat eval: runs/cifar-1, ...
    ... [--nat build/bin/nat] [--runs runs] [--seeds 1 2 3]
"""
import argparse
import json
import pathlib
import statistics
import subprocess

MEASURES = {"knn": "kNN", "linear": "linear", "linear_1k": "linear, 1,000 labels"}


def results_of(asked, seed):
    """The results of one seed, computed when they are not there yet."""
    run = asked.runs / f"{asked.preset or 'demo'}-{seed}"
    path = run / "results.json"
    if path.exists():
        return json.loads(path.read_text())
    where = ["--seed", str(seed), "--out", str(run)]
    if not asked.preset:
        subprocess.run([asked.nat, "demo", *where], check=True)
        return json.loads(path.read_text())
    subprocess.run([asked.nat, "train", "--preset", asked.preset, "--data", asked.data, *where], check=True)
    judged = subprocess.run([asked.nat, "eval", "all", str(run), "--json"], check=True, text=True,
                            stdout=subprocess.PIPE)
    path.write_text(judged.stdout)
    return json.loads(judged.stdout)


def spread(values):
    return f"{statistics.mean(values):.2f} ({min(values):.2f} .. {max(values):.2f})"


def row(features, key, results):
    scores = [result[features][key] for result in results]
    trained = [100 * score["trained"] for score in scores]
    untrained = [100 * score["untrained"] for score in scores]
    gain = [t - u for t, u in zip(trained, untrained)]
    raw = 100 * results[0]["raw"][key]["value"]
    return (f"| {features} | {MEASURES[key]} | {spread(trained)} | {spread(untrained)} "
            f"| {spread(gain)} | {raw:.2f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nat", default="build/bin/nat")
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--preset", help="train with this preset instead of running the demo")
    parser.add_argument("--data", help="the pictures, for --preset")
    asked = parser.parse_args()
    if bool(asked.preset) != bool(asked.data):
        parser.error("--preset and --data go together")
    results = [results_of(asked, seed) for seed in asked.seeds]
    test = results[0]["conv"]["knn"]["n_test"]
    error = 100 * statistics.mean(r["conv"]["knn"]["stderr"] for r in results)
    print(f"Accuracy in percent on {test} test pictures, seeds {asked.seeds}: mean (smallest .. "
          f"largest). One standard error of a single figure is about {error:.2f}.\n")
    print("| features | judge | trained | untrained | gain | raw pixels |")
    print("|---|---|---|---|---|---|")
    for features in ("conv", "fc", "embedding"):
        for key in MEASURES:
            print(row(features, key, results))


if __name__ == "__main__":
    main()
