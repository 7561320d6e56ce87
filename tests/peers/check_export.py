"""Does ONNX Runtime, given the file of "nat export", compute the features that "nat embed" writes?

Exports the newest checkpoint of a run, has the file checked by the package onnx, gives it test
pictures that were cropped on its own (tests/peers/pictures.py), as bytes and as parts of 1, and
compares with the file that "nat embed" writes in float32. The largest error over the largest
feature must not exceed --tolerance in any layer. Prints the seconds that ONNX Runtime took.

PyPI packages: onnx, onnxruntime, safetensors, numpy; pillow for folders of pictures (PNG, BMP, PPM).
Run: python tests/peers/check_export.py RUN [--nat build/bin/nat]
Exit code: 0 equal, 1 different, 77 skipped (a package is missing or the pictures cannot be read).
"""

import argparse
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

from comparison import LAYERS, compare, skip

try:
    import numpy as np
    import onnx
    import onnxruntime
    from safetensors.numpy import load_file
except ImportError as missing:
    skip(f"needs the packages onnx, onnxruntime, safetensors and numpy ({missing})")

from pictures import Unsupported, center_crop, open_test_pictures


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder that nat train wrote")
    parser.add_argument("--nat", type=Path, default=Path("build/bin/nat"))
    parser.add_argument("--pictures", type=int, default=512, help="compare this many test pictures")
    parser.add_argument("--batch", type=int, default=64, help="pictures given to the model at once")
    parser.add_argument("--threads", type=int, default=0, help="of ONNX Runtime; 0 = its choice")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    return parser.parse_args()


def export_and_embed(nat, run, scratch):
    """A session of the exported model, and the features of the test pictures."""
    model, features = scratch / "network.onnx", scratch / "features.safetensors"
    layers = ["--layers", ",".join(LAYERS)]
    subprocess.run(
        [nat, "export", run, "--output", model, *layers], check=True, stdout=subprocess.DEVNULL
    )
    subprocess.run(
        [nat, "embed", run, "--split", "test", "--output", features, *layers],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    onnx.checker.check_model(onnx.load(model), full_check=True)
    return model.read_bytes(), load_file(features)


def crops(pictures, config):
    """Bytes (n, h, w, c) to what the model's input asks for: (n, c, size, size) in bytes."""
    side = min(pictures.shape[1:3])
    if config["crop"] != "area":
        side = min(config["size"], side)
    view = center_crop(pictures, side, config["size"])
    return np.ascontiguousarray(view.transpose(0, 3, 1, 2), np.float32)


def run_model(session, pictures, batch):
    parts = [
        session.run(LAYERS, {"pictures": pictures[i : i + batch]})
        for i in range(0, len(pictures), batch)
    ]
    return {layer: np.concatenate(rows) for layer, rows in zip(LAYERS, zip(*parts))}


def main():
    arguments = parse_arguments()
    config = tomllib.loads((arguments.run / "config.toml").read_text())
    try:
        source = open_test_pictures(config)
        with tempfile.TemporaryDirectory() as scratch:
            model, ours = export_and_embed(
                arguments.nat.resolve(), arguments.run.resolve(), Path(scratch)
            )
        ours = {name: rows[: arguments.pictures] for name, rows in ours.items()}
        inputs = crops(source.pictures(ours["id"]), config)
    except Unsupported as reason:
        skip(reason)

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    print(
        f"{len(model):,} bytes, operator set {onnx.load_from_string(model).opset_import[0].version}, "
        f"ONNX Runtime {onnxruntime.__version__}; {len(inputs)} test pictures"
    )
    equal = True
    for unit, scaled in (("bytes", inputs), ("parts of 1", inputs / np.float32(255))):
        run_model(session, scaled[: arguments.batch], arguments.batch)
        start = time.perf_counter()
        theirs = run_model(session, scaled, arguments.batch)
        seconds = time.perf_counter() - start
        print(f"given {unit}: {seconds:.3f} s, {len(inputs) / seconds:,.0f} pictures/s")
        equal &= compare(ours, theirs, arguments.tolerance)
    print("equal" if equal else f"DIFFERENT: an error is above {arguments.tolerance:g}")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
