#!/usr/bin/env python3
"""What the network looks at: clean pixels, high-pass or Sobel (paper, table 2), as a Markdown table.

Trains one network without labels for each front end and seed that has no results yet, judges it, and trains
it with labels from its convolutions on and from scratch (finetune_study.py); everything else is the preset
cifar. Needs only the standard library.

    bench/front_study.py --data folder:CIFAR10 [--nat build/bin/nat] [--runs runs/front] [--seeds 1 2]
"""
import pathlib
import statistics

from assignment_ablation import accuracies, arguments, print_heading, results_of, train_and_judge
from finetune_study import fine_tune

FRONTS = ("clean", "high_pass", "sobel")
JUDGED = (("conv", "knn"), ("conv", "linear"), ("embedding", "knn"))


def figures(asked, folder):
    """In percent, by the head of the column."""
    results = results_of(folder)
    tuned = fine_tune(asked.nat, folder, "softmax", asked.limit, asked.steps)
    judged = {which: accuracies(results, JUDGED, which) for which in ("trained", "untrained")}
    return {f"{head}, {which}": judged[which][head] for head in judged["trained"]
            for which in judged} | {"labels, from scratch": 100 * tuned["untrained"],
                                    "labels, fine-tuned": 100 * tuned["trained"]}


def main():
    parser = arguments(__doc__.splitlines()[0], pathlib.Path("runs/front"))
    parser.set_defaults(limit=20000, epochs=20)
    parser.add_argument("--steps", type=int, default=800, help="of a training with labels")
    asked = parser.parse_args()
    runs = {front: [train_and_judge(asked, front, ["--preset", "cifar", "--front", front], seed)
                    for seed in asked.seeds] for front in FRONTS}
    rows = {front: [figures(asked, folder) for folder in folders] for front, folders in runs.items()}
    heads = list(rows["sobel"][0])
    print_heading(asked, runs["sobel"], JUDGED)
    print("| front end | " + " | ".join(heads) + " |\n|---|" + "---:|" * len(heads))
    for front, found in rows.items():
        print(f"| {front} | " + " | ".join(f"{statistics.mean(run[head] for run in found):.2f}"
                                          for head in heads) + " |")


if __name__ == "__main__":
    main()
