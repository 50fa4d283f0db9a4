"""Kernel density at the paper's 39,843 pairs: ours against scikit-learn's KernelDensity, in one run.

    python -m benchmarks.density

Needs the extra `dev`. Both fit and evaluate at all pairs, with the isotropic bandwidth, on two threads. Three kinds of
values: all different, to one decimal place, and whole numbers as FindingEmo's. scikit-learn does the same work on
each, so it runs once per kind; ours is the median of seven.
"""

import argparse
import statistics
import time

import numpy as np
import torch
from sklearn.neighbors import KernelDensity

from emoticrafter.fit.density import fit_density

PAIRS = 39_843


def timed(work) -> tuple[float, np.ndarray]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def main() -> None:
    argparse.ArgumentParser(prog="python -m benchmarks.density", description=__doc__.split("\n")[0]).parse_args()
    torch.set_num_threads(2)
    drawn = np.clip(np.random.default_rng(0).normal(0, 1.2, (2, PAIRS)), -3, 3)
    kinds = {"all different": drawn, "one decimal": np.round(drawn, 1), "whole numbers": np.round(drawn)}
    print(f"{'values':14} {'distinct':>8} {'ours':>9} {'scikit-learn':>12} {'ratio':>9} {'largest difference':>19}")
    for name, (valence, arousal) in kinds.items():
        pairs = np.stack([valence, arousal], axis=1)
        runs = [timed(lambda v=valence, a=arousal: fit_density(v, a, "isotropic")(v, a)) for _ in range(7)]
        ours, values = statistics.median(seconds for seconds, _ in runs), runs[0][1]
        width = fit_density(valence, arousal, "isotropic").bandwidth
        theirs, logarithms = timed(lambda p=pairs, h=width: KernelDensity(bandwidth=h).fit(p).score_samples(p))
        difference = np.abs(values / np.exp(logarithms) - 1).max()
        distinct = len(np.unique(pairs, axis=0))
        print(f"{name:14} {distinct:8,} {ours:7.3f} s {theirs:10.1f} s {theirs / ours:7.0f} x {difference:19.1e}")


if __name__ == "__main__":
    main()
