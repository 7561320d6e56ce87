"""Times three public assignment solvers on the very matrices that bench_lap solves, in the same run.

Needs from PyPI: numpy scipy lapjv, and lapx or lap: both install the module `lap`, so an environment
holds one of the two, and the table says which.

    lap_peers.py BUILD/bin/bench_lap [--n N ...] [--d D ...] [--solver NAME] [--json PATH]

For each n and d, bench_lap solves its problems on one thread and dumps the score matrices; then
scipy.optimize.linear_sum_assignment, lapx or lap (lap.lapjv) and src-d (lapjv.lapjv) solve the same
ones, one thread each. Peers get the matrix already converted to what they compute with (float64;
float32 for src-d; negated for the last two). All times are processor time of that thread, which other
work on the machine disturbs little. Printed times are medians; ratios compare the least times. Values
must agree within the rounding to quanta; the exit status is 1 if one does not.
"""

import argparse
import importlib.metadata
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import lap
import lapjv
import numpy as np
import scipy.optimize


LAP_PACKAGE = importlib.metadata.packages_distributions()["lap"][0]  # lapx or lap


def measure_ms(call):
    """Median and least of at least 3 calls and 0.3 seconds; of one call if it takes over 3 s."""
    times = []
    while not times or (times[0] < 3 and (len(times) < 3 or sum(times) < 0.3)):
        start = time.thread_time()
        call()
        times.append(time.thread_time() - start)
    return 1e3 * statistics.median(times), 1e3 * min(times)


def scipy_columns(costs):
    return scipy.optimize.linear_sum_assignment(costs)[1]


def lap_columns(costs):
    return lap.lapjv(costs, return_cost=False)[0]


def srcd_columns(costs):
    return lapjv.lapjv(costs)[0]


def compare(row, scores):
    """Adds the peers' times and values to one row of bench_lap; returns whether the values agree."""
    wide = np.ascontiguousarray(scores, dtype=np.float64)
    agree = True
    peers = (
        ("scipy", scipy_columns, -wide),
        (LAP_PACKAGE, lap_columns, -wide),
        ("srcd", srcd_columns, -scores),
    )
    for name, solve, matrix in peers:
        columns = solve(matrix)
        value = wide[np.arange(len(wide)), columns].sum()
        row[name + "_ms"], row[name + "_least_ms"] = measure_ms(lambda: solve(matrix))
        row[name + "_value"] = float(value)
        row[name + "_ratio"] = row[name + "_least_ms"] / row["solve_least_ms"]
        agree &= abs(value - row["value"]) <= row["n"] * row["quantum"] + 1e-12 * row["n"]
    return bool(agree)


def ours(bench, n, d, solver, folder):
    result = folder / "ours.json"
    subprocess.run(
        [bench, "--n", str(n), "--d", str(d), "--solver", solver, "--clock", "thread"]
        + ["--dump", folder, "--json", result],
        check=True,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    return json.loads(result.read_text())["rows"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench", type=pathlib.Path, help="path of the bench_lap program")
    parser.add_argument("--n", type=int, nargs="+", default=[64, 128, 256, 512, 1024, 2048])
    parser.add_argument("--d", type=int, nargs="+", default=[128, 2048])
    parser.add_argument("--solver", default="automatic", help="ours: automatic, jv or auction")
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()

    rows = []
    print(f"{'n':>5} {'d':>5}  {'features':16} {'ours ms':>9} {'scipy ms':>9} {LAP_PACKAGE + ' ms':>9}"
          f" {'src-d ms':>9} {'scipy/ours':>10} {LAP_PACKAGE + '/ours':>10} {'src-d/ours':>10}  value")
    for n in args.n:
        for d in args.d:
            with tempfile.TemporaryDirectory() as name:
                folder = pathlib.Path(name)
                for row in ours(args.bench.resolve(), n, d, args.solver, folder):
                    scores = np.fromfile(folder / row.pop("file"), dtype=np.float32).reshape(n, n)
                    row["agree"] = compare(row, scores)
                    rows.append(row)
                    print(f"{n:5} {d:5}  {row['kind']:16} {row['solve_ms']:9.4f}"
                          f" {row['scipy_ms']:9.3f} {row[LAP_PACKAGE + '_ms']:9.3f} {row['srcd_ms']:9.3f}"
                          f" {row['scipy_ratio']:10.1f} {row[LAP_PACKAGE + '_ratio']:10.1f}"
                          f" {row['srcd_ratio']:10.1f}"
                          f"  {'equal' if row['agree'] else 'DIFFERENT'}", flush=True)
    if args.json:
        args.json.write_text(json.dumps({"bench": "lap_peers", "rows": rows}, indent=1) + "\n")
    sys.exit(0 if all(row["agree"] for row in rows) else 1)


if __name__ == "__main__":
    main()
