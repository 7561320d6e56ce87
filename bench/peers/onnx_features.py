"""Times ONNX Runtime on looking at pictures with a trained network, beside our own program.

"nat export" writes the network of a run with its preprocessing; ONNX Runtime computes embeddings of
random pictures by it, and "bench_step --work features" those of a network of the same architecture.
Ours runs before and after, and the slower of the two counts. ONNX Runtime is given float32 pictures
of the input's size, ours stored bytes of that size. Every time is the median of --steps batches after
a warm-up, with all optimisations of ONNX Runtime, and --threads threads on both sides. Read the
ratio only when processor/wall is near the number of threads on both sides.

PyPI packages: onnxruntime, numpy.
Run: python bench/peers/onnx_features.py RUN [--batch 256] [--threads 2] [--json PATH]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WARM_UP = 3


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder that nat train wrote")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--bin", type=Path, default=ROOT / "build/bin")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    return parser.parse_args()


def time_ours(arguments, config):
    command = [arguments.bin / "bench_step", "--work", "features", "--json", "--dtype", "f32"]
    for option in ("network", "dimension", "size"):
        command += [f"--{option}", str(config[option])]
    for option in ("batch", "steps", "threads"):
        command += [f"--{option}", str(getattr(arguments, option))]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output)


def time_onnx_runtime(arguments, config):
    import numpy as np
    import onnxruntime

    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch) / "network.onnx"
        subprocess.run(
            [arguments.bin / "nat", "export", arguments.run, "--output", model],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = arguments.threads
        session = onnxruntime.InferenceSession(
            model.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
    size = config["size"]
    channels = 1 if config["network"] == "convnet" else 3  # as bench_step has them
    random = np.random.default_rng(1)
    pictures = random.integers(0, 256, (arguments.batch, channels, size, size)).astype(np.float32)
    for _ in range(WARM_UP):
        session.run(["embedding"], {"pictures": pictures})
    milliseconds = []
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(arguments.steps):
        begin = time.perf_counter()
        session.run(["embedding"], {"pictures": pictures})
        milliseconds.append(1e3 * (time.perf_counter() - begin))
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    milliseconds.sort()
    return {
        "median_ms": milliseconds[len(milliseconds) // 2],
        "fastest_ms": milliseconds[0],
        "processor_per_wall": processor / wall,
        "version": onnxruntime.__version__,
    }


def main():
    arguments = parse_arguments()
    config = tomllib.loads((arguments.run / "config.toml").read_text())
    if config["width"] != 1 or config["front"] != "sobel":
        sys.exit("bench_step has networks of width 1 behind a Sobel front only; give another run")
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    before = time_ours(arguments, config)
    theirs = time_onnx_runtime(arguments, config)
    after = time_ours(arguments, config)
    ours = max(before, after, key=lambda figures: figures["median_ms"])
    print(f"{config['network']}, {config['size']} pixels, batch {arguments.batch}, "
          f"{arguments.threads} threads, ONNX Runtime {theirs['version']}")
    for name, figures in (("ours", ours), ("ONNX Runtime", theirs)):
        rate = 1e3 * arguments.batch / figures["median_ms"]
        print(f"{name:14}{figures['median_ms']:9.2f} ms {rate:9,.0f} pictures/s, "
              f"processor/wall {figures['processor_per_wall']:.2f}")
    print(f"ONNX Runtime / ours: {theirs['median_ms'] / ours['median_ms']:.2f}")
    if arguments.json:
        record = {"ours": [before, after], "onnx_runtime": theirs}
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
