"""Times PyTorch on the work of bench/bench_step.cpp, in the same run, and prints the ratios.

One step: forward, normalise, scores z t^T, exact assignment on the CPU, gather the targets, mean
squared distance, backward, SGD with momentum; every step re-assigns. PyTorch starts from prepared
float pictures, ours from bytes (crop, normalise, Sobel), which is to PyTorch's advantage.

PyTorch is tried in several settings ("rungs"), each in a process of its own; its best is the one
with the lowest median or, by fastest steps, which other programs disturb less, with the lowest of
those. bench_step runs before and after them, and the slower of its two runs counts. Read the ratios
of a run only when processor/wall is near the number of threads everywhere: it says where it is not.

With --device cuda the rungs and the way of comparing are those of pytorch_cuda.py: ours and theirs
in turn, three times, after both have taken the same three steps with the same losses.

PyPI packages: torch, scipy, numpy; lapx (used when it solves faster than scipy).
Run: python bench/peers/pytorch_step.py [--network alexnet] [--dtype bf16] [--json PATH]
     python bench/peers/pytorch_step.py --device cuda --work model [--batch 256] [--json PATH]
"""

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytorch_cuda

# torch, numpy and scipy are imported only in the processes of the rungs: a child's peak memory
# begins at what its parent held when it was started, so the parent must stay small.

ROOT = Path(__file__).resolve().parents[2]
WARM_UP = 3
LEAST_SHARE = 0.95  # of the processors that a step should keep busy
# Picture side, dimension and batch of bench_step's defaults and of the paper.
NETWORKS = {"convnet": (28, 64, 256), "alexnet": (224, 2048, 32)}
RUNGS = {
    "eager NCHW": {"channels_last": False, "compiled": False},
    "eager channels_last": {"channels_last": True, "compiled": False},
    "compile NCHW": {"channels_last": False, "compiled": True},
    "compile channels_last": {"channels_last": True, "compiled": True},
}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=NETWORKS, default="convnet")
    parser.add_argument("--batch", type=int, help="256 for convnet, 32 for alexnet")
    parser.add_argument(
        "--dtype",
        choices=("f32", "bf16"),
        default="f32",
        help="bf16: ours in bf16, PyTorch in f32 and with autocast",
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--steps", type=int, help="20 on the CPU, 50 on CUDA")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--bench", type=Path, default=ROOT / "build/bin/bench_step")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    cuda = parser.add_argument_group("CUDA only")
    cuda.add_argument("--work", choices=("model", "nat"), default="model")
    cuda.add_argument("--rungs", default=",".join(pytorch_cuda.RUNGS))
    cuda.add_argument("--rounds", type=int, default=3, help="how often ours and theirs take turns")
    cuda.add_argument("--seconds", type=float, help="after so long no other setting is begun")
    cuda.add_argument("--warmup", type=int, default=20)
    cuda.add_argument("--momentum", type=float, default=0.0)
    cuda.add_argument("--plans", type=Path, help="file of bench_conv for bench_step")
    cuda.add_argument(
        "--plan-limit",
        type=int,
        default=0,
        help="so many of cuDNN's plans PyTorch tries for a convolution; 0: all, which takes minutes "
        "(PyTorch's own default is 10)",
    )
    for inner in ("--rung", "--check", "--assignment", "--dimension"):  # of inner processes
        parser.add_argument(inner, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    is_cuda = arguments.device == "cuda"
    _, dimension, batch = NETWORKS[arguments.network]
    arguments.dimension = int(arguments.dimension or dimension)
    arguments.batch = arguments.batch or (256 if is_cuda else batch)
    arguments.steps = arguments.steps or (50 if is_cuda else 20)
    if not arguments.bench.is_file():
        parser.error(f"{arguments.bench} is not there; build bench_step or give --bench")
    return arguments


# ---- one rung, in its own process ---------------------------------------------------------------


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def assignment_solvers():
    """name -> function (scores) that gives the column of each row with the greatest sum."""
    from scipy.optimize import linear_sum_assignment

    solvers = {"scipy": lambda scores: linear_sum_assignment(scores, maximize=True)[1]}
    try:
        import lap
        import numpy as np

        solvers["lapx"] = lambda scores: lap.lapjv((-scores).astype(np.float64))[1]
    except ImportError:
        pass
    return solvers


def fastest_solver(scores):
    """The name of the solver that is fastest on these scores, best of three."""
    seconds = {}
    for name, solve in assignment_solvers().items():
        for _ in range(3):
            begin = time.perf_counter()
            solve(scores)
            taken = time.perf_counter() - begin
            seconds[name] = min(taken, seconds.get(name, taken))
    return min(seconds, key=seconds.get)


class PyTorchStep:
    """The step of Noise As Targets; call it to run one."""

    def __init__(self, arguments, channels_last, compiled):
        import torch

        sys.path.insert(0, str(ROOT / "tests/peers"))
        from networks import Network

        torch.manual_seed(1)
        torch.set_num_threads(arguments.threads)
        size, dimension, _ = NETWORKS[arguments.network]
        layout = torch.channels_last if channels_last else torch.contiguous_format
        network = Network(arguments.network, size, channels=2, dimension=dimension)
        network.to(memory_format=layout).train()
        self.autocast = torch.autocast("cpu", torch.bfloat16, arguments.dtype == "bf16")
        self.optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, fused=True)
        self.pictures = torch.randn(arguments.batch, 2, size, size).to(memory_format=layout)
        self.targets = torch.nn.functional.normalize(torch.randn(arguments.batch, dimension))

        def embed(pictures):
            return torch.nn.functional.normalize(network(pictures).float())

        self.embed = torch.compile(embed) if compiled else embed
        with torch.no_grad(), self.autocast:
            scores = embed(self.pictures) @ self.targets.T
        self.solver = fastest_solver(scores.float().numpy())
        self.solve = assignment_solvers()[self.solver]

    def __call__(self):
        import torch

        with self.autocast:
            z = self.embed(self.pictures)
        scores = z.detach() @ self.targets.T
        column_of_row = torch.from_numpy(self.solve(scores.numpy()))
        self.targets = self.targets[column_of_row]
        loss = (z - self.targets).square().sum(1).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.item()


def run_rung(arguments):
    """Figures of one rung under the names of bench_step --json."""
    if RUNGS[arguments.rung]["compiled"] and not shutil.which(os.environ.get("CXX", "g++")):
        sys.exit("torch.compile needs a C++ compiler (g++, or the one that CXX names)")
    import torch

    after_import = peak_mib()
    step = PyTorchStep(arguments, **RUNGS[arguments.rung])
    for _ in range(WARM_UP):
        step()
    milliseconds = []
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(arguments.steps):
        begin = time.perf_counter()
        loss = step()
        milliseconds.append(1e3 * (time.perf_counter() - begin))
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    milliseconds.sort()
    median = milliseconds[len(milliseconds) // 2]
    return {
        "median_ms": median,
        "fastest_ms": milliseconds[0],
        "images_per_second": 1e3 * arguments.batch / median,
        "processor_per_wall": processor / wall,
        "peak_mib": peak_mib(),
        "after_import_mib": after_import,
        "threads": torch.get_num_threads(),
        "solver": step.solver,
        "loss": loss,
        "torch": torch.__version__,
    }


# ---- the whole comparison -----------------------------------------------------------------------


def run_program(name, command, arguments):
    """The JSON on the last line of a program's output; None and a message when it fails."""
    print(f"{name} ...", file=sys.stderr)
    for option in ("network", "batch", "steps", "threads"):
        command += [f"--{option}", str(getattr(arguments, option))]
    environment = {**os.environ, "OMP_NUM_THREADS": str(arguments.threads)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    lines = result.stdout.strip().splitlines()
    if result.returncode == 0 and lines:
        return json.loads(lines[-1])
    reason = (result.stderr.strip().splitlines() or ["no output"])[-1]
    print(f"{name} left out: {reason}", file=sys.stderr)
    return None


def time_ours(arguments):
    command = [arguments.bench, "--json", "--dtype", arguments.dtype]
    return run_program("bench_step", command, arguments)


def time_pytorch(arguments):
    """Name and figures of every rung that works here."""
    results = {}
    for dtype in ("f32", "bf16") if arguments.dtype == "bf16" else ("f32",):
        for rung in RUNGS:
            name = f"PyTorch {dtype} {rung}"
            command = [sys.executable, __file__, "--rung", rung, "--dtype", dtype]
            command += ["--bench", arguments.bench]
            figures = run_program(name, command, arguments)
            if figures is not None:
                results[name] = figures
    return results


def processor_name():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def print_table(results, ours):
    """Ratios are a row's time and memory over those of `ours`."""
    print(
        "| program | median ms | fastest ms | pictures/s | processor/wall | peak MiB "
        "| time / ours | memory / ours |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, row in results.items():
        print(
            f"| {name} | {row['median_ms']:.2f} | {row['fastest_ms']:.2f} "
            f"| {row['images_per_second']:.0f} | {row['processor_per_wall']:.2f} "
            f"| {row['peak_mib']:.0f} | {row['median_ms'] / ours['median_ms']:.2f} "
            f"| {row['peak_mib'] / ours['peak_mib']:.2f} |"
        )


def compare(arguments):
    """Runs everything; the record that --json writes. None when there is nothing to compare."""
    before = time_ours(arguments)
    pytorch = time_pytorch(arguments) if before else {}
    after = time_ours(arguments) if pytorch else None
    if after is None:
        return None
    ours = max(before, after, key=lambda run: run["median_ms"])
    best = min(pytorch, key=lambda name: pytorch[name]["median_ms"])
    name = f"bench_step {arguments.dtype}"
    return {
        "network": arguments.network,
        "batch": arguments.batch,
        "dtype": arguments.dtype,
        "steps": arguments.steps,
        "threads": arguments.threads,
        "processor": processor_name(),
        "date": str(date.today()),
        "results": {f"{name}, before": before, **pytorch, f"{name}, after": after},
        "ours": ours,
        "best": best,
        "time_ratio": pytorch[best]["median_ms"] / ours["median_ms"],
        "fastest_ratio": min(run["fastest_ms"] for run in pytorch.values())
        / max(before["fastest_ms"], after["fastest_ms"]),
        "memory_ratio": pytorch[best]["peak_mib"] / ours["peak_mib"],
    }


def print_comparison(record):
    best = record["results"][record["best"]]
    print(
        f"{record['network']}, batch {record['batch']}, {record['steps']} steps, "
        f"{record['threads']} threads, {record['processor']}, {record['date']}, "
        f"PyTorch {best['torch']}"
    )
    print("PyTorch starts from prepared pictures; bench_step includes crop, normalise and Sobel.\n")
    print_table(record["results"], record["ours"])
    print(
        f"\nPyTorch's best ({record['best']}, assignment by {best['solver']}) takes "
        f"{record['time_ratio']:.2f} times as long as the slower run of ours and "
        f"{record['memory_ratio']:.2f} times the memory "
        f"({best['after_import_mib']:.0f} MiB of it are there after importing torch). "
        f"By the fastest steps of all: {record['fastest_ratio']:.2f}."
    )
    disturbed = [
        name
        for name, run in record["results"].items()
        if run["processor_per_wall"] < LEAST_SHARE * record["threads"]
    ]
    if disturbed:
        print(f"Disturbed, or waiting: {', '.join(disturbed)}.")


def time_ours_on_cuda(arguments):
    command = [arguments.bench, "--json", "--ceilings", "--dtype", arguments.dtype]
    for option in ("device", "work", "warmup", "momentum"):
        command += [f"--{option}", str(getattr(arguments, option))]
    if arguments.plans:
        command += ["--plans", arguments.plans]
    return run_program("bench_step", command, arguments)


def main_on_cuda(arguments):
    if arguments.rung:
        pytorch_cuda.serve(arguments, NETWORKS[arguments.network][0])
        return 0
    record = pytorch_cuda.compare(arguments, __file__, lambda: time_ours_on_cuda(arguments))
    if not record["rungs"]:
        print("no comparison: bench_step or every setting of PyTorch failed", file=sys.stderr)
        return 1
    pytorch_cuda.print_comparison(arguments, record)
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=2) + "\n")
    return 0


def main():
    arguments = parse_arguments()
    if arguments.device == "cuda" or arguments.rung in pytorch_cuda.RUNGS:
        return main_on_cuda(arguments)
    if arguments.rung:
        print(json.dumps(run_rung(arguments)))
        return 0
    record = compare(arguments)
    if record is None:
        print("no comparison: bench_step or every setting of PyTorch failed", file=sys.stderr)
        return 1
    print_comparison(record)
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
