#!/usr/bin/env python3
"""What the features are worth over several seeds, as a Markdown table.

Trains and judges a run for every seed that has no results yet, then prints mean and range over the
seeds. Needs only the standard library.

    bench/seeds.py                                        # as nat demo: runs/demo-1, -2, -3
    bench/seeds.py --preset cifar --data folder:CIFAR10   # runs/cifar-1, ...
    ... [--nat build/bin/nat] [--runs runs] [--seeds 1 2 3] [-- --schedule cosine]   # flags of nat train
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys

DEMO_DATA = "/usr/share/datasets/fashion-mnist"
PLACES = ("conv", "fc", "embedding")
MEASURES = {"knn": "kNN", "linear": "linear", "linear_1k": "linear, 1,000 labels"}


def results_of(asked, seed):
    """The results of one seed, computed when they are not there yet; a run that was cut off goes on."""
    run = asked.runs / f"{asked.preset or 'demo'}-{seed}"
    path = run / "results.json"
    if not path.exists():
        train = ["train", "--preset", asked.preset or "fmnist", "--data", asked.data, "--seed", str(seed),
                 "--out", str(run), *asked.training]
        begun = (run / "config.toml").exists()
        subprocess.run([asked.nat] + (["resume", str(run)] if begun else train), check=True)
        subprocess.run([asked.nat, "eval", "all", str(run)], check=True)
    results = json.loads(path.read_text())
    if path_of(results["judged"]["data"]) != path_of(asked.data):
        sys.exit(f"{run} was judged by {results['judged']['data']}, not {asked.data}; give another --runs")
    return results


def path_of(data):
    return pathlib.Path(data.split(":", 1)[-1]).resolve()


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
    parser.add_argument("--preset", help="train with this one instead of what the demo does")
    parser.add_argument("--data", help="the pictures, for --preset")
    parser.add_argument("training", nargs="*", metavar="-- --flag value", help="flags of nat train for every run")
    asked = parser.parse_args()
    if bool(asked.preset) != bool(asked.data):
        parser.error("--preset and --data go together")
    asked.data = asked.data or DEMO_DATA
    results = [results_of(asked, seed) for seed in asked.seeds]
    test = results[0]["conv"]["knn"]["n_test"]
    errors = [100 * r[features][key]["stderr"] for r in results for features in PLACES for key in MEASURES]
    print(f"Accuracy in percent on {test:,} test pictures, seeds {', '.join(map(str, asked.seeds))}: mean "
          f"(smallest .. largest). One standard error of a single trained figure is {min(errors):.2f} to "
          f"{max(errors):.2f}.\n")
    print("| features | judge | trained | untrained | gain | raw pixels |")
    print("|---|---|---|---|---|---|")
    for features in PLACES:
        for key in MEASURES:
            print(row(features, key, results))


if __name__ == "__main__":
    main()
