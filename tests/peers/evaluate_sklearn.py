#!/usr/bin/env python3
"""Checks our judges of features against scikit-learn on the same features.

    tests/peers/evaluate_sklearn.py [--program build/bin/bench_evaluate] [--data FOLDER]
    tests/peers/evaluate_sklearn.py --generated 10000 1152    # retrieval and clusters alone

Without --data the features are the 1,797 handwritten digits that come with scikit-learn (64 pixel
columns, three of them constant). With --data they are the raw pixels of the IDX files of an
MNIST-like data set in that folder (minutes instead of seconds). With --generated they are that many
rows and columns of noise around ten centres.

kNN: the neighbours come from NearestNeighbors(metric="cosine") in float64; a prediction may differ
only where rounding decides (at most 0.05 % of the test rows, at least one row).
Linear probe: LogisticRegression run to its optimum; our accuracy must lie within 0.3 points of its
(at least two rows), and our loss within 2 % above its loss.
Retrieval: recall and mAP of a numpy program that sorts every query, within 0.05 % of the test rows
(at least one) and 0.01 points; the average precision of that program, for every 7th query, within
0.01 points of average_precision_score (which treats ties otherwise).
Clusters: inertia at most 1 % above that of KMeans with as many restarts; nmi and ari of our
clusters by scikit-learn to 1e-9. Seconds of both are those of this run, with the threads of this process.
Exit code 0: agreement, or skipped with a message; 1: disagreement.
"""

import argparse
import gzip
import json
import pathlib
import subprocess
import sys
import tempfile
import time

try:
    import numpy as np
    import sklearn.datasets
    from sklearn.cluster import KMeans
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import (adjusted_rand_score, average_precision_score,
                                 normalized_mutual_info_score)
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


def generated(rows, columns):
    random = np.random.default_rng(0)
    centres = 0.3 * random.standard_normal((10, columns), np.float32)
    split = []
    for count in (2000, rows):  # the linear probes of the program need some training rows
        labels = np.arange(count) % 10
        split += [centres[labels] + random.standard_normal((count, columns), np.float32), labels]
    return split


def run(program, data, temperature):
    """Writes the data as raw files; returns what our program prints, and its clusters."""
    with tempfile.TemporaryDirectory() as folder:
        names = []
        for name, values in zip(("train.f32", "train.i32", "test.f32", "test.i32"), data):
            names.append(f"{folder}/{name}")
            values.astype(np.float32 if name.endswith("f32") else np.int32).tofile(names[-1])
        classes = int(data[1].max()) + 1
        clusters = f"{folder}/cluster.i32"
        command = [program, *names, str(data[0].shape[1]), str(classes), str(temperature), clusters]
        printed = subprocess.run(command, check=True, capture_output=True).stdout
        return json.loads(printed), np.fromfile(clusters, np.int32)


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


def retrieve(features, labels, ks):
    """Place of the first row of the class, average precision: by a stable sort of each query."""
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-30)
    first, precision = [], []
    for begin in range(0, len(unit), 256):
        for query, similarity in enumerate(unit[begin:begin + 256] @ unit.T, begin):
            similarity[query] = -np.inf
            ranking = np.argsort(-similarity, kind="stable")[:-1]
            places = 1 + np.flatnonzero(labels[ranking] == labels[query])
            if len(places):
                first.append(places[0])
                precision.append(np.mean(np.arange(1, len(places) + 1) / places))
    return {k: np.mean(np.array(first) <= k) for k in ks}, np.mean(precision)


def sampled_precision(features, labels, step):
    """Mean of average_precision_score, and of our definition, over every step-th query."""
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-30)
    theirs, ours = [], []
    for query in range(0, len(unit), step):
        others = np.arange(len(unit)) != query
        relevant, similarity = (labels == labels[query])[others], (unit @ unit[query])[others]
        if relevant.any():
            theirs.append(average_precision_score(relevant, similarity))
            places = 1 + np.flatnonzero(relevant[np.argsort(-similarity, kind="stable")])
            ours.append(np.mean(np.arange(1, len(places) + 1) / places))
    return np.mean(theirs), np.mean(ours)


def logistic_regression(train, labels, test, truth, weight_decay):
    """Accuracy on the test rows and the loss of nat/evaluate/linear_probe.h, at the optimum."""
    model = LogisticRegression(C=1 / (weight_decay * len(labels)), tol=1e-6, max_iter=3000)
    model.fit(train, labels)
    log_probability = model.predict_log_proba(train)
    loss = -log_probability[np.arange(len(labels)), labels].mean()
    loss += weight_decay / 2 * np.square(model.coef_).sum()
    return model.score(test, truth), loss


class Comparison:
    agree = True

    def note(self, what, ours, theirs, fine):
        self.agree = self.agree and bool(fine)
        verdict = "ok" if fine else "DIFFERS"
        print(f"{what:28s} ours {ours:>12s}  scikit-learn {theirs:>12s}  {verdict}")

    def percent(self, what, ours, theirs, allowed):
        fine = abs(ours - theirs) <= allowed + 1e-12
        self.note(what, f"{100 * ours:.3f}", f"{100 * theirs:.3f}", fine)


def compare_retrieval(comparison, ours, features, truth):
    n = len(truth)
    recall = {entry["k"]: entry["recall"] for entry in ours["retrieval"]["recall"]}
    began = time.perf_counter()
    theirs, precision = retrieve(features.astype(np.float32), truth, recall)
    seconds = time.perf_counter() - began
    for k, value in recall.items():
        comparison.percent(f"recall@{k}", value, theirs[k], max(1 / n, 5e-4))
    comparison.percent("mAP", ours["retrieval"]["map"], precision, 1e-4)
    sampled, defined = sampled_precision(features, truth, 7)
    comparison.percent("mAP of every 7th, by numpy", defined, sampled, 1e-4)
    print(f"retrieval: seconds ours {ours['seconds']['retrieval']:.2f}, numpy {seconds:.2f}")


def compare_clusters(comparison, ours, clusters, features, truth):
    began = time.perf_counter()
    peer = KMeans(truth.max() + 1, n_init=10, tol=0, algorithm="lloyd", random_state=0)
    peer.fit(features.astype(np.float32))
    seconds = time.perf_counter() - began
    found = ours["cluster"]
    comparison.note("inertia", f"{found['inertia']:.6g}", f"{peer.inertia_:.6g}",
                    found["inertia"] <= 1.01 * peer.inertia_)
    comparison.percent("nmi of our clusters", found["nmi"],
                       normalized_mutual_info_score(truth, clusters), 1e-9)
    comparison.percent("ari of our clusters", found["ari"], adjusted_rand_score(truth, clusters),
                       1e-9)
    print(f"clusters: seconds ours {ours['seconds']['cluster']:.2f}, scikit-learn {seconds:.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default="build/bin/bench_evaluate")
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--generated", type=int, nargs=2, metavar=("ROWS", "COLUMNS"))
    arguments = parser.parse_args()
    if not pathlib.Path(arguments.program).exists():
        print(f"skipped: {arguments.program} is not built (configure with -DNAT_BENCH=ON)")
        return 0

    if arguments.generated:
        data = generated(*arguments.generated)
    else:
        data = pictures(arguments.data) if arguments.data else digits()
    labels, truth = data[1].astype(int), data[3].astype(int)
    train, test = standardised(data[0], data[2])
    n = len(truth)
    comparison = Comparison()

    ours, clusters = run(arguments.program, data, TEMPERATURE)
    compare_retrieval(comparison, ours, test, truth)
    compare_clusters(comparison, ours, clusters, test, truth)
    if arguments.generated:
        return 0 if comparison.agree else 1

    for temperature in (0, TEMPERATURE):
        ours, _ = run(arguments.program, data, temperature)
        ks = [entry["k"] for entry in ours["knn"]]
        theirs = knn_accuracies(train, labels, test, truth, ks, temperature)
        kind = f"weighted T={temperature}" if temperature else "plain"
        for entry in ours["knn"]:
            k = entry["k"]
            comparison.percent(f"kNN k={k} {kind}", entry["accuracy"], theirs[k], max(1 / n, 5e-4))

    linear = ours["linear"]
    accuracy, loss = logistic_regression(train, labels, test, truth, linear["weight_decay"])
    comparison.percent("linear probe", linear["accuracy"], accuracy, max(2 / n, 3e-3))
    comparison.note("linear probe loss", f"{linear['loss']:.5f}", f"{loss:.5f}",
                    loss - 1e-5 <= linear["loss"] <= 1.02 * loss)
    few = ours["few_labels"]
    print(f"1,000 labels                 ours {100 * few['accuracy']:6.2f}  "
          f"(spread over subsets {100 * few['spread']:.2f})")
    print("seconds", ours["seconds"])
    return 0 if comparison.agree else 1


if __name__ == "__main__":
    sys.exit(main())
