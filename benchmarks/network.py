"""Our network against the plain formulation of the published layer, in one process with the same weights.

    python -m benchmarks.network                       # the paper's size, a few minutes
    python -m benchmarks.network --depth 2 --repeats 3 # a quick look
    python -m benchmarks.network --threads 1           # a machine with other work: the thread's own CPU time

Every form runs once in each round, so that whatever else the machine does meets them all; the table has the medians,
the ratio of plain float32 to the form, the memory that a call takes on top of the weights, and the largest
difference from plain float32. One call encodes the values and injects them. The plain network gets one prompt once
per emotion, as nothing broadcasts in it. A second table converts a real file of the published layout.

On a GPU the forms are plain float32 and ours in float32, float16 and bfloat16, the half ones also as CUDA graphs.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from benchmarks.plain import PlainNetwork
from emoticrafter import EmotionNetwork, NetworkConfig, load_network, save_network
from emoticrafter.weights.files import DTYPES
from emoticrafter.weights.published import published_state

CASES = {"1 x 1": (1, 1), "8 x 8": (8, 8), "1 x 25": (1, 25), "25 x 25": (25, 25), "8 x 1": (8, 1)}
Forms = dict[str, Callable[[], Tensor]]


def twins(config: NetworkConfig, device: str) -> tuple[PlainNetwork, EmotionNetwork]:
    torch.manual_seed(0)
    plain = PlainNetwork(config)
    config, state = published_state(plain.state_dict(), "plain")
    ours = EmotionNetwork(config)
    ours.load_state_dict(state)
    return plain.to(device), ours.to(device)


def forms_of(plain: PlainNetwork, ours: dict[str, EmotionNetwork], prompts: int, emotions: int) -> Forms:
    device = ours["float32"].input_projection.weight.device
    batch, width = max(prompts, emotions), ours["float32"].config.feature_width
    neutral = torch.randn(prompts, 77, width, device=device)
    valence, arousal = torch.rand(2, emotions, device=device) * 6 - 3
    repeated = neutral.expand(batch, -1, -1).contiguous(), valence.expand(batch), arousal.expand(batch)
    forms: Forms = {"plain float32": lambda: plain(*repeated)}
    for name, network in ours.items():
        features = neutral.to(network.input_projection.weight.dtype)
        forms[f"ours {name}"] = lambda n=network, f=features: n(f, valence, arousal)
        if device.type == "cuda" and name != "float32":
            forms[f"ours {name}, CUDA graph"] = graphed(network, features, valence, arousal)
    return forms


def graphed(network: EmotionNetwork, neutral: Tensor, valence: Tensor, arousal: Tensor) -> Callable[[], Tensor]:
    """The call as one CUDA graph; without the check of the range, which waits for the GPU."""

    def call() -> Tensor:
        return network.inject(neutral, network._encode(valence, arousal))

    side = torch.cuda.Stream()  # a capture must be preceded by calls on a stream of their own
    with torch.cuda.stream(side):
        call()
        call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = call()

    def replay() -> Tensor:
        graph.replay()
        return result

    return replay


def timed(call: Callable[[], Tensor], device: str) -> float:
    """Milliseconds, to the end of the GPU's work; of one thread its CPU time, which other work hardly touches."""
    clock = time.thread_time if device == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return 1e3 * (clock() - start)


def peak(call: Callable[[], Tensor], device: str) -> float:
    """MB that a call holds at its highest, on top of what is held before."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        call()
    events = record.profiler.kineto_results.events()
    steps = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    return max(accumulate(taken for _, taken in steps)) / 1e6


def compare(forms: Forms, repeats: int, device: str) -> None:
    expected = forms["plain float32"]()
    differences = {name: (call().float() - expected).abs().max().item() for name, call in forms.items()}
    memory = {name: peak(call, device) for name, call in forms.items()}
    times: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(repeats):
        for name, call in forms.items():
            times[name].append(timed(call, device))
    base = statistics.median(times["plain float32"])
    for name, taken in times.items():
        middle = statistics.median(taken)
        print(
            f"  {name:26} {middle:10.2f} {min(taken):9.2f} {base / middle:7.2f} {memory[name]:10.1f} "
            f"{differences[name]:11.1e}",
            flush=True,
        )


def compare_files(plain: PlainNetwork, ours: EmotionNetwork) -> None:
    """Saves the published layout, converts it, and compares sizes."""
    with tempfile.TemporaryDirectory() as folder:
        published, converted = Path(folder) / "published.pth", Path(folder) / "ours.safetensors"
        torch.save(plain.state_dict(), published)
        print(f"\n{'file':26} {'million parameters':>19} {'MB':>9} {'of published':>13}")
        size = published.stat().st_size
        count = sum(p.numel() for p in plain.parameters()) / 1e6
        print(f"{'published .pth, float32':26} {count:19.1f} {size / 1e6:9.1f} {1:13.3f}")
        count = sum(p.numel() for p in ours.parameters()) / 1e6
        for dtype in ("float32", "float16"):
            save_network(load_network(published, dtype=DTYPES[dtype]), converted)
            here = converted.stat().st_size
            name = f"ours .safetensors, {dtype}"
            print(f"{name:26} {count:19.1f} {here / 1e6:9.1f} {here / size:13.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--depth", type=int, default=12, help="blocks; default: %(default)s")
    parser.add_argument("--repeats", type=int, default=9, help="rounds; 1 x 1 has three times as many")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads; default: %(default)s")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler, which counts memory, is not to write between
    device = "cuda" if torch.cuda.is_available() else "cpu"
    plain, ours = twins(NetworkConfig(depth=options.depth, block="published"), device)
    networks = {"float32": ours}
    if device == "cuda":
        networks |= {name: deepcopy(ours).to(getattr(torch, name)) for name in ("float16", "bfloat16")}
    where = torch.cuda.get_device_name() if device == "cuda" else f"CPU, threads: {options.threads}"
    print(f"torch {torch.__version__} on {where}; 2048 -> 768 x {options.depth} blocks, 77 tokens\n")
    print(
        f"{'prompts x emotions':28} {'median ms':>10} {'least ms':>9} {'ratio':>7} {'peak MB':>10} {'difference':>11}"
    )
    with torch.inference_mode():
        for name, (prompts, emotions) in CASES.items():
            print(name)
            rounds = options.repeats * (3 if name == "1 x 1" else 1)
            compare(forms_of(plain, networks, prompts, emotions), rounds, device)
    compare_files(plain, ours)


if __name__ == "__main__":
    main()
