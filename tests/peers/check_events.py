"""Does TensorBoard read from a run's event file what the run's logs say?

Reads the events with TensorBoard's own reader and compares every scalar with the cell of
metrics.csv or timing.csv that its tag names, as float32 and exactly: all epochs, each once, nothing
beside them, and no column of metrics.csv left out.

PyPI packages: tensorboard.
Run: python tests/peers/check_events.py RUN
Exit code: 0 equal, 1 different, 77 skipped (the package is missing).
"""

import argparse
import csv
import struct
import sys
from pathlib import Path

SKIPPED = 77

try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError as missing:
    print(f"skipped: needs the package tensorboard ({missing})")
    sys.exit(SKIPPED)


# Columns of metrics.csv that are no curves.
COUNTERS = {"epoch", "steps"}


def read_columns(log):
    """{column: {epoch: value}}, without empty cells."""
    columns = {}
    with log.open() as file:
        for row in csv.DictReader(file):
            for column, cell in row.items():
                if cell:
                    columns.setdefault(column, {})[int(row["epoch"])] = float(cell)
    return columns


def as_float32(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def compare(tag, events, column):
    """Prints a line about the curve; True when it is the column."""
    expected = [(epoch, as_float32(value)) for epoch, value in sorted(column.items())]
    found = [(event.step, event.value) for event in events]
    equal = found == expected
    last = f"{found[-1][1]:.6g}" if found else "-"
    print(f"{tag:<32} {len(found):>6} {last:>14}  {'equal' if equal else 'DIFFERENT'}")
    return equal


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder that nat train wrote")
    run = parser.parse_args().run

    everything = {"scalars": 0}  # 0: keep all, where TensorBoard would draw a sample
    accumulator = EventAccumulator(str(run), size_guidance=everything).Reload()
    tags = accumulator.Tags()["scalars"]
    metrics = read_columns(run / "metrics.csv")
    columns = metrics | read_columns(run / "timing.csv")
    print(f"{'tag':<32} {'events':>6} {'last':>14}")
    results = [
        compare(tag, accumulator.Scalars(tag), columns.get(tag.split("/")[-1], {})) for tag in tags
    ]
    missing = metrics.keys() - COUNTERS - {tag.split("/")[-1] for tag in tags}
    if missing:
        print(f"no events for {', '.join(sorted(missing))}")
    equal = bool(results) and all(results) and not missing
    print(f"{len(tags)} curves: {'equal' if equal else 'DIFFERENT'}")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
