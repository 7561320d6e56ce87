#!/usr/bin/env python3
"""What a trained network saves in labels: fine-tuned beside from scratch, as Markdown tables.

Fine-tunes the network of each run with each number of labels and each loss that has no results yet (`nat eval
finetune`; results stay beside the run), for about the same number of steps: whole epochs of whole batches.
The runs are seeds of one recipe. Needs only the standard library.

    bench/finetune_study.py runs/cifar-1 runs/cifar-2 runs/cifar-3 [--labels 250 1000 4000] [--losses softmax]
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import tomllib


def duration(run, labels, steps):
    """(epochs, steps) next to the steps that are wanted, with the batch of the run."""
    batch = tomllib.loads((run / "config.toml").read_text())["batch"]
    steps_per_epoch = max(1, labels // batch)
    epochs = max(1, round(steps / steps_per_epoch))
    return epochs, epochs * steps_per_epoch


def fine_tune(nat, run, loss, labels, steps):
    """{"trained": .., "untrained": .., ...} of one run."""
    epochs, _ = duration(run, labels, steps)
    results = run / f"finetune-{loss}-{labels}-labels-{epochs}-epochs.json"
    if not results.exists():
        done = subprocess.run([nat, "eval", "finetune", str(run), "--loss", loss, "--labels", str(labels),
                               "--epochs", str(epochs), "--json"],
                              check=True, stdout=subprocess.PIPE, text=True)
        results.write_text(done.stdout)
    return json.loads(results.read_text())["network"]["finetune"]


def cell(values):
    return f"{statistics.mean(values):.2f} ({min(values):.2f} .. {max(values):.2f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=pathlib.Path, nargs="+")
    parser.add_argument("--nat", default="build/bin/nat")
    parser.add_argument("--labels", type=int, nargs="+", default=[250, 1000, 4000])
    parser.add_argument("--losses", nargs="+", default=["softmax"], choices=["softmax", "square"])
    parser.add_argument("--steps", type=int, default=600)
    asked = parser.parse_args()
    print(f"Accuracy in percent, {len(asked.runs)} runs: mean (smallest .. largest).\n")
    print("| labels | loss | steps | fine-tuned | from scratch | gain |")
    print("|---:|---|---:|---|---|---|")
    for labels in asked.labels:
        for loss in asked.losses:
            found = [fine_tune(asked.nat, run, loss, labels, asked.steps) for run in asked.runs]
            columns = [[100 * one[which] for one in found] for which in ("trained", "untrained")]
            gain = [trained - scratch for trained, scratch in zip(*columns)]
            _, steps = duration(asked.runs[0], labels, asked.steps)
            print(f"| {labels} | {loss} | {steps} | " + " | ".join(map(cell, [*columns, gain])) + " |")


if __name__ == "__main__":
    main()
