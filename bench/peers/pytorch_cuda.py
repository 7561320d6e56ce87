"""The steps of bench/bench_step.cpp in PyTorch on a CUDA device, as users write them and better.

A module of pytorch_step.py, which starts one process for each rung:

  P0  float32 with TF32 products, NCHW, eager
  P1  bfloat16 autocast, channels_last, eager
  P2  P1 and torch.compile
  P3  P2 and CUDA graphs over the whole step, fused SGD (fused in all rungs but P0)
  P4  P3 and the first convolution as 3x3 over blocks of 4x4 pixels, what an expert would do

"model" work starts from prepared pictures on the device. "nat" work starts from bytes that already
lie on the device (ours are brought from the host) and re-assigns in every step, with SciPy on the
CPU or with an auction in plain PyTorch.
PyPI packages: torch, numpy; scipy for its assignment.
"""

import contextlib
import json
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from step_parts import ASSIGNMENTS, convolution_over_blocks, prepare, to_blocks

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/peers"))

RUNGS = {
    "P0": {"dtype": "f32", "layout": "NCHW"},
    "P1": {"dtype": "bf16", "layout": "NHWC"},
    "P2": {"dtype": "bf16", "layout": "NHWC", "compiled": True},
    "P3": {"dtype": "bf16", "layout": "NHWC", "compiled": True, "graphed": True},
    "P4": {
        "dtype": "bf16",
        "layout": "NHWC",
        "compiled": True,
        "graphed": True,
        "blocks": True,
    },
}
HEADLINE = ("P1", "P2", "P3")  # ratios are against the best of these
LEARNING_RATE = 0.01
STORED_SIDE = 256
# How far losses of the same steps may lie apart: rounding of sums in another order, and of
# activations to bfloat16 (8 bits) in each layer.
LOSS_TOLERANCE = 1e-3
LOSS_TOLERANCE_BF16 = 2e-2  # where either side is bf16


# ---- a step -------------------------------------------------------------------------------------


class Step:
    """One training step under the settings of a rung; call it to run one."""

    def __init__(self, network, batch, settings, device, assignment=None, momentum=0.0):
        import torch

        self.settings, self.device = settings, torch.device(device)
        self.assign = ASSIGNMENTS[assignment] if assignment else None
        self.layout = (
            torch.channels_last if settings["layout"] == "NHWC" else torch.contiguous_format
        )
        if settings.get("blocks"):
            network.features.conv1 = convolution_over_blocks(network.features.conv1)
        self.network = network.to(self.device, memory_format=self.layout).train()
        self.optimizer = torch.optim.SGD(
            network.parameters(), LEARNING_RATE, momentum, fused=settings["dtype"] == "bf16"
        )
        self.batch = batch
        compiled = torch.compile if settings.get("compiled") else lambda function: function
        self.embed, self.prepare = compiled(self._embed), compiled(self._prepare)
        self.graphs = []
        if settings.get("graphed"):
            self._record()

    def _autocast(self):
        import torch

        if self.settings["dtype"] == "f32":
            return contextlib.nullcontext()
        # Graphs must not hold a cast that the cache made outside of them.
        return torch.autocast(self.device.type, torch.bfloat16, cache_enabled=False)

    def _prepare(self):
        batch = self.batch
        if "images" in batch:
            images = batch["images"]
        else:
            where = (batch[name] for name in ("ids", "corners", "flips", "side"))
            images = prepare(batch["store"], *where)
        if self.settings.get("blocks"):
            images = to_blocks(images)
        return images.contiguous(memory_format=self.layout)

    def _embed(self, images):
        from torch.nn import functional

        return functional.normalize(self.network(images).float())

    def _forward(self):
        import torch

        # Prepared pictures are not prepared again: that is not what "model" work times.
        if "images" in self.batch:
            if not hasattr(self, "ready"):
                self.ready = self._prepare()
            images = self.ready
        else:
            with torch.no_grad():
                images = self.prepare()
        with self._autocast():
            self.z = self.embed(images)
        if self.assign:
            self.scores = self.z.detach() @ self.batch["targets"].T

    def _reassign(self):
        if self.assign:
            targets = self.batch["targets"]
            targets.copy_(targets[self.assign(self.scores)])

    def _backward(self):
        self.optimizer.zero_grad(set_to_none=True)
        self.loss = (self.z - self.batch["targets"]).square().sum(1).mean()
        self.loss.backward()
        self.optimizer.step()

    def _record(self):
        """Records the step: as one graph, or as two with the assignment between them."""
        import torch

        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(5):
                self._run_eagerly()
        torch.cuda.current_stream().wait_stream(aside)
        parts = (
            [self._forward, self._backward]
            if self.assign
            else [lambda: (self._forward(), self._backward())]
        )
        pool = torch.cuda.graph_pool_handle()
        for part in parts:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool):
                part()
            self.graphs.append(graph)

    def _run_eagerly(self):
        self._forward()
        self._reassign()
        self._backward()

    def __call__(self):
        if not self.graphs:
            return self._run_eagerly()
        self.graphs[0].replay()
        self._reassign()
        for graph in self.graphs[1:]:
            graph.replay()
        return None


# ---- the same steps as ours ---------------------------------------------------------------------


def load_tensors(path):
    """name -> numpy array of a safetensors file, without the package of that name."""
    import numpy as np

    data = Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    types = {"F32": np.float32, "F64": np.float64}
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        array = np.frombuffer(data[begin:end], types[entry["dtype"]])
        tensors[name] = array.reshape(entry["shape"])
    return tensors


def loss_difference(folder, make_network, settings, device, momentum):
    """Largest difference of the losses of the three steps that bench_step --check has taken."""
    import torch

    first = load_tensors(Path(folder) / "first.safetensors")
    expected = load_tensors(Path(folder) / "last.safetensors")["check.losses"]
    images = torch.from_numpy(first["check.images"].copy()).permute(0, 3, 1, 2)
    targets = torch.from_numpy(first["check.targets"].copy())
    network = make_network(dropout=False)
    own = {
        name: torch.from_numpy(value.copy())
        for name, value in first.items()
        if not name.startswith(("check.", "momentum."))
    }
    for name, value in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            own[name] = value
    network.load_state_dict(own, strict=True)
    batch = {"images": images.contiguous().to(device), "targets": targets.to(device)}
    plain = {**settings, "compiled": False, "graphed": False}
    step = Step(network, batch, plain, device, momentum=momentum)
    difference = 0.0
    for loss in expected:
        step()
        difference = max(difference, abs(step.loss.item() - float(loss)))
    return difference


# ---- one rung, in its own process ---------------------------------------------------------------


def generated_batch(arguments, side, device):
    import torch

    n, d = arguments.batch, arguments.dimension
    generator = torch.Generator().manual_seed(1)
    targets = torch.nn.functional.normalize(torch.randn(n, d, generator=generator))
    batch = {"targets": targets.to(device)}
    if arguments.work == "model":
        batch["images"] = torch.randn(n, 2, side, side, generator=generator).to(device)
        return batch
    stored = STORED_SIDE if side <= STORED_SIDE else side
    store = torch.randint(256, (n, stored, stored, 3), generator=generator, dtype=torch.uint8)
    corners = torch.randint(stored - side + 1, (n, 2), generator=generator)
    flips = torch.randint(2, (n,), generator=generator) == 1
    batch.update(store=store.to(device), ids=torch.randperm(n).to(device), side=side)
    batch.update(corners=corners.to(device), flips=flips.to(device))
    return batch


def time_steps(step, device, steps):
    """Milliseconds of each step, by events of the device."""
    import torch

    if device == "cpu":
        times = []
        for _ in range(steps):
            begin = time.perf_counter()
            step()
            times.append(1e3 * (time.perf_counter() - begin))
        return times
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(steps)]
    for begin, end in events:
        begin.record()
        step()
        end.record()
    torch.cuda.synchronize()
    return [begin.elapsed_time(end) for begin, end in events]


def make_network_factory(arguments, side):
    from networks import Network
    from torch import nn

    def make_network(dropout):
        network = Network(arguments.network, side, channels=2, dimension=arguments.dimension)
        for module in network.modules():
            if isinstance(module, nn.Dropout) and not dropout:
                module.p = 0.0
        return network

    return make_network


def serve(arguments, side):
    """Checks the losses and warms up, then measures once for each line that comes in."""
    import torch

    device, settings = arguments.device, RUNGS[arguments.rung]
    torch.manual_seed(1)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.benchmark_limit = arguments.plan_limit
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    make_network = make_network_factory(arguments, side)
    ready = {"torch": torch.__version__}
    if arguments.check:
        ready["loss_difference"] = loss_difference(
            arguments.check, make_network, settings, device, arguments.momentum
        )
        is_rounded = "bf16" in (settings["dtype"], arguments.dtype)
        tolerance = LOSS_TOLERANCE_BF16 if is_rounded else LOSS_TOLERANCE
        if not ready["loss_difference"] < tolerance:
            sys.exit(f"losses differ from ours by {ready['loss_difference']}")
    step = Step(
        make_network(dropout=True),
        generated_batch(arguments, side, device),
        settings,
        device,
        arguments.assignment if arguments.work == "nat" else None,
        arguments.momentum,
    )
    time_steps(step, device, arguments.warmup)
    print(json.dumps(ready), flush=True)
    for _ in sys.stdin:
        times = sorted(time_steps(step, device, arguments.steps))
        print(json.dumps({"median_ms": times[len(times) // 2], "fastest_ms": times[0]}), flush=True)


# ---- the whole comparison -----------------------------------------------------------------------


class Rung:
    """The process of a rung; measure() lets it time its steps once."""

    def __init__(self, command):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        line = self.process.stdout.readline()
        self.ready = json.loads(line) if line else None

    def measure(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def median(values):
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


def compare_rung(name, command, time_ours, rounds):
    """Ours and theirs in turn, `rounds` times; None when the rung does not start."""
    print(f"{name} ...", file=sys.stderr)
    began = time.monotonic()
    rung = Rung(command)
    if rung.ready is None:
        rung.close()
        print(f"{name} left out: see above", file=sys.stderr)
        return None
    print(f"{name}: ready after {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    ours, theirs = [], []
    try:
        for _ in range(rounds):
            ours.append(time_ours())
            theirs.append(rung.measure())
            if ours[-1] is None:
                return None
            print(
                f"{name}: PyTorch {theirs[-1]['median_ms']:.3f} ms, "
                f"ours {ours[-1]['median_ms']:.3f} ms",
                file=sys.stderr,
                flush=True,
            )
    finally:
        rung.close()
    ratios = [b["median_ms"] / a["median_ms"] for a, b in zip(ours, theirs)]
    return {
        "ours_ms": median(run["median_ms"] for run in ours),
        "ours_judged": ours[-1].get("judged"),
        "theirs_ms": median(run["median_ms"] for run in theirs),
        "ratio": median(ratios),
        "ratio_lowest": min(ratios),
        "ratio_highest": max(ratios),
        **rung.ready,
    }


def clocks():
    """Clocks, temperature and power as nvidia-smi has them; empty without it."""
    query = "name,driver_version,clocks.sm,clocks.mem,temperature.gpu,power.draw"
    command = ["nvidia-smi", "--id=0", f"--query-gpu={query}", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def compare(arguments, script, time_ours):
    """Every rung beside ours. `script` starts a rung, time_ours() runs bench_step once."""
    assignments = ("scipy", "auction") if arguments.work == "nat" else (None,)
    options = ("network", "batch", "dimension", "work", "device", "warmup", "steps", "momentum")
    options += ("plan-limit",)
    record = {"clocks_before": clocks(), "rungs": {}}
    end = time.monotonic() + arguments.seconds if arguments.seconds else float("inf")
    with tempfile.TemporaryDirectory() as check:
        command = [arguments.bench, "--check", check]
        for name in ("device", "network", "batch", "dtype", "momentum"):
            command += [f"--{name}", str(getattr(arguments, name))]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        for name in arguments.rungs.split(","):
            for assignment in assignments:
                command = [sys.executable, script, "--rung", name, "--check", check]
                command += ["--bench", arguments.bench]
                command += ["--dtype", arguments.dtype]
                for option in options:
                    command += [f"--{option}", str(getattr(arguments, option.replace("-", "_")))]
                label = name
                if assignment:
                    command += ["--assignment", assignment]
                    label = f"{name}, {assignment}"
                if record["rungs"] and time.monotonic() > end:
                    print(f"{label} left out: no time is left", file=sys.stderr)
                    continue
                row = compare_rung(label, command, time_ours, arguments.rounds)
                if row is not None:
                    record["rungs"][label] = row
    record["clocks_after"] = clocks()
    return record


def headline(record):
    """The best of the rungs that users write, by assignment: label of each."""
    rungs, best = record["rungs"], {}
    for label, row in rungs.items():
        name, _, assignment = label.partition(", ")
        if name not in HEADLINE:
            continue
        known = best.get(assignment)
        if known is None or row["theirs_ms"] < rungs[known]["theirs_ms"]:
            best[assignment] = label
    return list(best.values())


def print_comparison(arguments, record):
    print(
        f"{arguments.work} step, {arguments.network}, batch {arguments.batch}, ours in "
        f"{arguments.dtype}; PyTorch's convolutions are the fastest of "
        f"{arguments.plan_limit or 'all'} plans; {record['clocks_before']}; after: "
        f"{record['clocks_after']}\n"
    )
    print("| rung | PyTorch ms | ours ms | ratio | spread | losses differ by |")
    print("|---|---:|---:|---:|---:|---:|")
    for label, row in record["rungs"].items():
        print(
            f"| {label} | {row['theirs_ms']:.3f} | {row['ours_ms']:.3f} | {row['ratio']:.2f} "
            f"| {row['ratio_lowest']:.2f} to {row['ratio_highest']:.2f} "
            f"| {row['loss_difference']:.1e} |"
        )
    for label in headline(record):
        print(f"\nBest of {', '.join(HEADLINE)}: {label}, {record['rungs'][label]['ratio']:.2f}x")
    judged = next((row["ours_judged"] for row in record["rungs"].values()), None)
    if judged:
        print(
            f"\nOurs: {100 * judged['share_of_floor']:.1f} % of the floor, "
            f"MFU {100 * judged['mfu']:.1f} %; copy {judged['copy_bytes_per_second'] / 1e9:.0f} "
            f"GB/s, products {judged['product_flops_per_second'] / 1e12:.1f} TFLOP/s"
        )
