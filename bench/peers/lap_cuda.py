"""Times SciPy's assignment where the scores lie on a CUDA device, beside ours, in the same run.

Needs PyTorch with CUDA, numpy and scipy.

    lap_cuda.py BUILD/bin/bench_lap [--n N ...] [--d D] [--json PATH]

bench_lap --device cuda solves its problems and dumps the score matrices. They are brought to the
device with PyTorch, and what is timed is how a training loop uses SciPy: scores copied to page-locked
memory, scipy.optimize.linear_sum_assignment, permutation copied back. Times are medians; ratios are
against our time with cold caches. Values must agree within the rounding to quanta; the exit status is
1 if one does not.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import scipy.optimize
import torch


def median_seconds(call):
    """Of at least 5 calls and 0.3 seconds after a warm-up; of one call if it takes over 3 s."""
    times = []
    while len(times) < 6 or sum(times[1:]) < 0.3:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
        if times[0] > 3:
            return times[0]
    return statistics.median(times[1:])


def compare(row, scores):
    """Adds SciPy's time and value to a row of bench_lap; returns whether the values agree."""
    on_device = torch.from_numpy(scores).cuda()
    host = torch.empty(on_device.shape, pin_memory=True)
    columns = torch.empty(len(scores), dtype=torch.int64, device="cuda")

    def solve():
        host.copy_(on_device)
        columns.copy_(
            torch.from_numpy(scipy.optimize.linear_sum_assignment(host.numpy(), maximize=True)[1])
        )
        torch.cuda.synchronize()

    row["scipy_us"] = 1e6 * median_seconds(solve)
    row["scipy_ratio"] = row["scipy_us"] / row["cold_us"]
    chosen = scores.astype(np.float64)[np.arange(len(scores)), columns.cpu().numpy()]
    row["scipy_value"] = float(chosen.sum())
    allowed = row["n"] * row["quantum"] + 1e-12 * row["n"]
    return abs(row["scipy_value"] - row["value"]) <= allowed


def ours(bench, n, d, folder):
    result = folder / "ours.json"
    command = [bench, "--device", "cuda", "--n", str(n), "--d", str(d), "--solver", "auction"]
    command += ["--repeats", "2", "--dump", folder, "--json", result]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return [row for row in json.loads(result.read_text())["rows"] if "file" in row]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench", type=pathlib.Path, help="path of the bench_lap program")
    parser.add_argument("--n", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--d", type=int, default=128)
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()

    rows = []
    print(f"{torch.cuda.get_device_name()}, SciPy {scipy.__version__}, PyTorch {torch.__version__}")
    print(f"{'n':>5} {'d':>5}  {'features':16} {'ours us':>9} {'SciPy us':>11} {'ratio':>8}  value")
    for n in args.n:
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            for row in ours(args.bench.resolve(), n, args.d, folder):
                scores = np.fromfile(folder / row.pop("file"), dtype=np.float32).reshape(n, n)
                row["agree"] = compare(row, scores)
                rows.append(row)
                print(f"{n:5} {args.d:5}  {row['kind']:16} {row['cold_us']:9.1f}"
                      f" {row['scipy_us']:11.1f} {row['scipy_ratio']:8.1f}"
                      f"  {'equal' if row['agree'] else 'DIFFERENT'}", flush=True)
    if args.json:
        args.json.write_text(json.dumps({"bench": "lap_cuda", "rows": rows}, indent=1) + "\n")
    sys.exit(0 if all(row["agree"] for row in rows) else 1)


if __name__ == "__main__":
    main()
