"""Compares features of ours with somebody else's, layer by layer. A module for the scripts beside it."""

import sys

SKIPPED = 77
LAYERS = ("conv", "fc", "embedding")


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIPPED)


def compare(ours, theirs, tolerance):
    """Prints the errors by layer; True when all are within the tolerance."""
    equal = True
    print("layer      columns  largest feature  max error   relative")
    for layer in LAYERS:
        if ours[layer].shape != theirs[layer].shape:
            print(f"{layer:<10} shapes {ours[layer].shape} and {theirs[layer].shape} differ")
            equal = False
            continue
        scale = abs(theirs[layer]).max()
        error = abs(ours[layer] - theirs[layer]).max()
        print(
            f"{layer:<10} {ours[layer].shape[1]:>7} {scale:>16.4f} {error:>10.2e} "
            f"{error / scale:>10.2e}"
        )
        # A comparison with NaN is false, so that NaN counts as different; so do features of zero.
        equal &= bool(error <= tolerance * scale and scale > 0)
    return equal
