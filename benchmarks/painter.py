"""How many pictures of the miniature world are painted in a second, by one process and by two.

    python -m benchmarks.painter
    python -m benchmarks.painter --pictures 1000 --repeats 5

Rates are medians over the repeats and count from the first picture asked for to the last one done, with
the processes already started. The processor's time per picture tells the painter's own cost where other
programs share the machine.
"""

from __future__ import annotations

import argparse
import statistics
import time
from concurrent.futures import ProcessPoolExecutor

import cv2
import numpy as np

from trainer.world.painter import paint
from trainer.world.scene import sample_scenes


def paint_share(first: int, count: int) -> float:
    """Paints `count` pictures of mixed scenes and emotions; gives the processor's seconds it took."""
    cv2.setNumThreads(1)
    began = time.process_time()
    emotions = np.random.default_rng(first).uniform(-3, 3, (count, 2))
    for i, scene in enumerate(sample_scenes(count, first)):
        paint(scene, *emotions[i], first + i)
    return time.process_time() - began


def measure(pool: ProcessPoolExecutor, processes: int, pictures: int) -> tuple[float, float]:
    """Pictures a second when each process paints an equal share, and processor milliseconds a picture."""
    share = pictures // processes
    began = time.perf_counter()
    busy = sum(pool.map(paint_share, range(0, processes * share, share), [share] * processes))
    done = processes * share
    return done / (time.perf_counter() - began), 1000 * busy / done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=400, help="pictures in each measurement")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    print(f"{'processes':>9}  {'pictures/s':>10}  {'lowest':>7}  {'highest':>7}  {'CPU ms':>7}")
    medians = {}
    for processes in (1, 2):
        with ProcessPoolExecutor(processes) as pool:
            measure(pool, processes, 40 * processes)
            runs = [measure(pool, processes, args.pictures) for _ in range(args.repeats)]
        rates, costs = zip(*runs, strict=True)
        medians[processes] = statistics.median(rates)
        spread = f"{min(rates):>7.0f}  {max(rates):>7.0f}"
        print(f"{processes:>9}  {medians[processes]:>10.0f}  {spread}  {statistics.median(costs):>7.1f}")
    print(f"two processes against one: {medians[2] / medians[1]:.2f}")


if __name__ == "__main__":
    main()
