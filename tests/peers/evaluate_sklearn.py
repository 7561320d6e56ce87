#!/usr/bin/env python3
"""Checks our kNN and linear probe against scikit-learn on the same features.

    tests/peers/evaluate_sklearn.py [--program build/bin/bench_evaluate] [--data FOLDER]

Without --data the features are the 1,797 handwritten digits that come with scikit-learn (64 pixel
columns, three of them constant). With --data they are the raw pixels of the IDX files of an
MNIST-like data set in that folder (minutes instead of seconds).

kNN: the neighbours come from NearestNeighbors(metric="cosine") in float64; a prediction may differ
only where rounding decides (at most 0.05 % of the test rows, at least one row).
Linear probe: LogisticRegression run to its optimum; our accuracy must lie within 0.3 points of its
(at least two rows), and our loss within 2 % above its loss.
Exit code 0: agreement, or skipped with a message; 1: disagreement.
"""

import argparse
import gzip
import json
import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import sklearn.datasets
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import NearestNeighbors
except ImportError as missing:
    print(f"skipped: {missing.name} is not installed (pip install scikit-learn)")
    sys.exit(0)

TEMPERATURE = 0.07


def digits():
    x, y = sklearn.datasets.load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    train, test = order[:1200], order[1200:]
    return x[train], y[train], x[test], y[test]


def idx(folder, name):
    path = folder / name
    data = gzip.open(f"{path}.gz").read() if not path.exists() else path.read_bytes()
    dimensions = data[3]
    shape = np.frombuffer(data, ">i4", dimensions, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape[0], -1)


def pictures(folder):
    return (
        idx(folder, "train-images-idx3-ubyte"),
        idx(folder, "train-labels-idx1-ubyte").ravel(),
        idx(folder, "t10k-images-idx3-ubyte"),
        idx(folder, "t10k-labels-idx1-ubyte").ravel(),
    )


def run(program, data, *options):
    """Writes the data as raw files and returns what our program prints about them."""
    with tempfile.TemporaryDirectory() as folder:
        names = []
        for name, values in zip(("train.f32", "train.i32", "test.f32", "test.i32"), data):
            names.append(f"{folder}/{name}")
            values.astype(np.float32 if name.endswith("f32") else np.int32).tofile(names[-1])
        classes = int(data[1].max()) + 1
        command = [program, *names, str(data[0].shape[1]), str(classes), *options]
        return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def standardised(train, test):
    train, test = train.astype(np.float64), test.astype(np.float64)
    mean, deviation = train.mean(0), train.std(0)
    deviation[deviation == 0] = np.inf
    return (train - mean) / deviation, (test - mean) / deviation


def knn_accuracies(train, labels, test, truth, ks, temperature):
    finder = NearestNeighbors(n_neighbors=max(ks), metric="cosine", algorithm="brute").fit(train)
    distance, index = finder.kneighbors(test)
    similarity = 1 - distance
    rows, classes = np.arange(len(test)), labels.max() + 1
    accuracies = {}
    for k in ks:
        votes, sums = np.zeros((len(test), classes)), np.zeros((len(test), classes))
        for rank in range(k):
            s = similarity[:, rank]
            voted = labels[index[:, rank]]
            votes[rows, voted] += np.exp(s / temperature) if temperature else 1
            sums[rows, voted] += s
        # np.lexsort: last key first; the smaller label wins because negated labels come last.
        predicted = [
            np.lexsort((-np.arange(classes), sums[i], votes[i]))[-1] for i in range(len(test))
        ]
        accuracies[k] = float(np.mean(np.array(predicted) == truth))
    return accuracies


def logistic_regression(train, labels, test, truth, weight_decay):
    """Accuracy on the test rows and the loss of nat/evaluate/linear_probe.h, at the optimum."""
    model = LogisticRegression(C=1 / (weight_decay * len(labels)), tol=1e-6, max_iter=3000)
    model.fit(train, labels)
    log_probability = model.predict_log_proba(train)
    loss = -log_probability[np.arange(len(labels)), labels].mean()
    loss += weight_decay / 2 * np.square(model.coef_).sum()
    return model.score(test, truth), loss


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default="build/bin/bench_evaluate")
    parser.add_argument("--data", type=pathlib.Path)
    arguments = parser.parse_args()
    if not pathlib.Path(arguments.program).exists():
        print(f"skipped: {arguments.program} is not built (configure with -DNAT_BENCH=ON)")
        return 0

    data = pictures(arguments.data) if arguments.data else digits()
    labels, truth = data[1].astype(int), data[3].astype(int)
    train, test = standardised(data[0], data[2])
    n = len(truth)
    agree = True

    def compare(what, ours, theirs, allowed):
        nonlocal agree
        fine = abs(ours - theirs) <= allowed + 1e-12
        agree = agree and fine
        verdict = "ok" if fine else f"DIFFERS by more than {100 * allowed:.2f} points"
        print(f"{what:28s} ours {100 * ours:6.2f}  scikit-learn {100 * theirs:6.2f}  {verdict}")

    for temperature in (0, TEMPERATURE):
        ours = run(arguments.program, data, str(temperature))
        ks = [entry["k"] for entry in ours["knn"]]
        theirs = knn_accuracies(train, labels, test, truth, ks, temperature)
        kind = f"weighted T={temperature}" if temperature else "plain"
        for entry in ours["knn"]:
            k = entry["k"]
            compare(f"kNN k={k} {kind}", entry["accuracy"], theirs[k], max(1 / n, 5e-4))

    linear = ours["linear"]
    accuracy, loss = logistic_regression(train, labels, test, truth, linear["weight_decay"])
    compare("linear probe", linear["accuracy"], accuracy, max(2 / n, 3e-3))
    fine = loss - 1e-5 <= linear["loss"] <= 1.02 * loss
    agree = agree and fine
    print(f"linear probe loss            ours {linear['loss']:.5f}  scikit-learn {loss:.5f}  "
          f"{'ok' if fine else 'DIFFERS'}")
    few = ours["few_labels"]
    print(f"1,000 labels                 ours {100 * few['accuracy']:6.2f}  "
          f"(spread over subsets {100 * few['spread']:.2f})")
    print("seconds", ours["seconds"])
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
