"""Trains an emotion network: from the settings of a run to its network.safetensors.

Source: Dang et al., ICCV 2025, arXiv 2501.05710, section 3.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from emoticrafter import EmotionNetwork, NetworkConfig, save_network
from emoticrafter.files import remove_leftovers
from emoticrafter.fit.loop import Fit, Schedule
from emoticrafter.fit.loss import PairLoss
from emoticrafter.fit.network import MOST_POSITIONS
from trainer.core.checkpoint import RUN, checkpoint_path, finished_path, read_state, writing
from trainer.core.command_line import TrainingError, say
from trainer.core.device import Machine
from trainer.core.lock import alone
from trainer.core.processes import FirstFailed, Processes
from trainer.runs import stops
from trainer.runs.checks import check, holds_run
from trainer.runs.loader import Batch, Data, Loader, batch_indexes, fits_on_device, read_data
from trainer.runs.logs import stand_in_warning, write_json
from trainer.runs.run import NotFinite, Run
from trainer.runs.settings import Settings
from trainer.runs.validation import validate


def train(settings: Settings, say: Callable[[str], None] = say, unread: Sequence[str] = ()) -> None:
    """A whole run, as one of its processes; a finished run is left as it is.

    Args:
        settings: Of the run.
        say: Takes what the first process tells people: a few lines at the start and at the end.
        unread: Problems of the settings found earlier, to be told with the rest.

    Raises:
        TrainingError: The run cannot start or go on.
        KeyboardInterrupt: It was interrupted; the text says what is saved.
    """
    processes = Processes.launched()
    machine = check(settings, processes, unread)
    if machine.device.type == "cuda":
        torch.cuda.set_device(machine.device)
        torch.set_float32_matmul_precision("high")
    data = read_data(settings, machine.device)
    with _folder(settings) if processes.first else contextlib.nullcontext():
        training = _build(settings, data, machine, processes)
        if processes.first and not training.run.done:
            finished_path(settings.out).unlink(missing_ok=True)
        try:
            with _explained(training), processes.met(machine.device), training.run.open():
                _fit(training, say if processes.first else lambda text: None)
        finally:
            training.loader.close()
        if processes.first:
            finished_path(settings.out).touch()
            say(_farewell(training))


# --- a step ----------------------------------------------------------------------------------------------------------


class Training:
    """An emotion network on its way: the fit, the pairs it sees, the best validation so far, and notes on a resume."""

    def __init__(self, settings: Settings, data: Data, machine: Machine, processes: Processes):
        self.settings, self.data, self.machine, self.processes = settings, data, machine, processes
        torch.manual_seed(settings.seed)
        self.network = EmotionNetwork(network_config(settings, data), data.encoder).to(machine.device).train()
        pool = fits_on_device(settings.features_on_device, data.store, machine.device)
        self.loader = Loader(data, machine.device, pool)
        schedule = _schedule(settings, len(data.train))
        self.fit = Fit(self.network, schedule, machine.bfloat16, processes.rank, processes.count)
        self.run = Run(self.fit, settings.out, settings.batch, settings.log_every, settings.save_minutes, processes)
        self.best = {"loss": math.inf, "step": 0}
        self.notes: list[str] = []

    def wrap(self) -> None:
        """Puts the loss round the network, and shares it out to the processes, which have met."""
        one = self.settings
        directions = self.data.directions
        unit = directions.measure.unit
        model = PairLoss(self.network, one.scale, one.preserve, directions.content, one.batch, unit)
        self.fit.model = self.machine.compiled(self.processes.shared(model.to(self.machine.device)))

    def advance(self) -> None:
        """One step: the next pairs, their features, the network, the loss, AdamW."""
        parts = self.parts(self.fit.step)
        following = [*parts[1:], self.parts(self.fit.step + 1)[0]]
        self.run.advance(self.loss, list(zip(parts, following, strict=True)))

    def parts(self, step: int) -> list[np.ndarray]:
        """The table's rows that this process sees in a step, in as many parts as --accumulate says."""
        rows = batch_indexes(self.data.train, self.settings.batch, step, self.settings.seed)
        mine = np.array_split(rows, self.processes.count)[self.processes.rank]
        return np.array_split(mine, self.settings.accumulate)

    def loss(self, part: tuple[np.ndarray, np.ndarray]) -> Tensor:
        """A part's share of the loss; the rows after it are read meanwhile."""
        batch: Batch = self.loader.load(*part)
        return self.fit.model(*batch)


def network_config(settings: Settings, data: Data) -> NetworkConfig:
    """The sizes of a run's network, for the features of its data."""
    names = ("width", "depth", "emotion_tokens", "emotion_hidden", "dropout", "block")
    sizes = {"feature_width": data.store.width, **{name: getattr(settings, name) for name in names}}
    if data.lessons is None:
        return NetworkConfig(**sizes)
    return NetworkConfig(
        **sizes,
        positions=min(data.store.longest + data.lessons.added_tokens, MOST_POSITIONS),
        window=data.store.facts.window,
        added_tokens=data.lessons.added_tokens,
        normalise=True,
    )


def _schedule(settings: Settings, pairs: int) -> Schedule:
    return Schedule(
        settings.steps or math.ceil(settings.epochs * pairs / settings.batch),
        settings.lr,
        settings.weight_decay,
        settings.warmup,
        cosine=settings.schedule == "cosine",
        clip_norm=settings.clip_norm,
        ema=settings.ema,
        seed=settings.seed,
    )


# --- a run -----------------------------------------------------------------------------------------------------------


def _fit(training: Training, say: Callable[[str], None]) -> None:
    """Takes all steps, with metrics, validations and checkpoints on the way."""
    run, out, every = training.run, training.settings.out, _validates_every(training)
    if training.processes.first:
        description = describe(training)
        write_json(out / "run.json", description)
        say("\n".join([_overview(description, training.fit.step), *training.notes]))
    training.wrap()
    while not run.done:
        training.advance()
        validates = run.done or training.fit.step % every == 0
        if not (validates or run.pauses):
            continue
        run.log()
        with run.first_alone() as first:
            if first and validates:
                _validate(training)
            if first:
                run.save_if_due(**_state(training))


def _validates_every(training: Training) -> int:
    """Steps: an epoch if the settings do not say."""
    settings = training.settings
    return settings.validate_every or max(1, round(len(training.data.train) / settings.batch))


def _validate(training: Training) -> None:
    """Validates, and saves the network if it is the best so far.

    Raises:
        TrainingError: A number is not finite.
    """
    settings, result, step = training.settings, training.fit.result, training.fit.step
    numbers, maps = validate(result, training.loader, training.data, settings.scale, training.fit.autocast)
    if odd := [name for name, value in numbers.items() if not math.isfinite(value)]:
        path, kept = settings.out / "not_finite.json", training.run.kept
        raise stops.validation_not_finite(step, odd, training.data, path, kept)
    training.run.logs.write("validation", step, numbers)
    if numbers["loss"] < training.best["loss"]:
        training.best = {"step": step, **numbers}
        path = settings.out / "network.safetensors"
        with writing(path):
            save_network(result, path, provenance(training))
            write_json(settings.out / "sensitivity.json", {"step": step, **maps})


def _state(training: Training) -> dict:
    """The checkpoint's entries beside the fit."""
    return {
        "best": training.best if math.isfinite(training.best["loss"]) else None,
        "settings": training.settings.as_json(),
        "data": training.data.summary["fingerprint"],
        "features": _features(training),
        "computed": _computed(training),
    }


def _features(training: Training) -> dict:
    """What a resumed run's features are compared by."""
    data = training.data.summary
    return {
        "text encoders": f"{data['encoder']['name']} ({data['encoder']['sha256'][:12]})",
        "dtype": data["features"]["dtype"],
        "width": data["features"]["width"],
        "numbers": training.data.store.checksum,
    }


def _computed(training: Training) -> dict:
    """What results depend on besides method and data, if only in their last bits, by the names that people are told."""
    settings, described, steps = training.settings, describe(training), training.fit.schedule.steps
    values = {name: described[name] for name in ("precision", "processes", "device", "torch")}
    values |= {"--accumulate": settings.accumulate, "--compile": training.machine.compile}
    values["steps between validations"] = _validates_every(training)
    if settings.schedule == "cosine":
        values["the last step, where the learning rate ends,"] = steps
    return values


def _resume(training: Training) -> None:
    """Puts a run where its checkpoint was.

    Raises:
        TrainingError: The checkpoint is damaged, of other settings or data, or beyond the last step.
    """
    settings, out, total = training.settings, training.settings.out, training.fit.schedule.steps
    state, fingerprint = read_state(out, RUN), training.data.summary["fingerprint"]
    found = settings.differences(state["settings"])
    if state["data"] != fingerprint:
        found.append(f"the data was {state['data'][:12]} and is {fingerprint[:12]}")
    features, now = state.get("features", {}), _features(training)
    found += [f"the features' {name} was {was} and is {now[name]}" for name, was in _changed(features, now, "numbers")]
    if found:
        raise TrainingError(
            f"{checkpoint_path(out)} was made otherwise:\n- "
            + "\n- ".join(found)
            + "\nGive what it was made with, or choose another --out."
        )
    if state["step"] > total:
        raise TrainingError(
            f"{checkpoint_path(out)} is of step {state['step']}, beyond the {total} steps that are asked for: "
            "give more --steps or --epochs to go on, or choose another --out."
        )
    training.run.resume()
    training.best = state["best"] or training.best
    training.notes = list(_notes(state, now, _computed(training)))


def _changed(was: dict, now: dict, *but: str) -> list[tuple[str, Any]]:
    """The entries that differ, with what they were; of what an older version did not note, nothing is known."""
    return [(name, was[name]) for name in now if name in was and name not in but and was[name] != now[name]]


def _notes(state: dict, features: dict, computed: dict) -> Iterator[str]:
    """What a resumed run's results may differ by from those of an uninterrupted one."""
    if "features" not in state:
        yield "The checkpoint is older and does not say what its features were made with: they are not compared."
    elif state["features"].get("numbers") != features["numbers"]:
        yield "The features were encoded anew since the checkpoint, by the same encoders: their last bits may differ."
    if found := [
        f"{name} was {was} and is {computed[name]}" for name, was in _changed(state.get("computed", {}), computed)
    ]:
        yield f"Since the checkpoint: {'; '.join(found)}. An uninterrupted run gives other numbers."


# --- start and end ---------------------------------------------------------------------------------------------------


@contextmanager
def _folder(settings: Settings):
    """Keeps other runs out of a run's folder, and removes what killed ones left half-written there.

    Raises:
        TrainingError: Another run is writing there, or one has ended there since the settings were checked.
    """
    with contextlib.ExitStack() as stack:
        with writing(settings.out / ".lock"):
            stack.enter_context(alone(settings.out))
        if taken := holds_run(settings):
            raise TrainingError(taken)
        for name in ("last", "network"):
            remove_leftovers(settings.out / f"{name}.safetensors")
        for name in ("metrics.jsonl", "run.json", "sensitivity.json", "not_finite.json"):
            remove_leftovers(settings.out / name)
        yield


def _build(settings: Settings, data: Data, machine: Machine, processes: Processes) -> Training:
    """A new training, or one where its checkpoint was.

    Raises:
        TrainingError: The network does not fit the memory, or the checkpoint cannot be used.
    """
    try:
        training = Training(settings, data, machine, processes)
        if settings.resume and checkpoint_path(settings.out).exists():
            _resume(training)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "memory" not in str(error).lower():
            raise
        raise stops.too_large(settings, machine.device) from error
    return training


@contextmanager
def _explained(training: Training):
    """Turns what can end a run from outside into one message that says where it stands and what to do."""
    settings, processes, kept = training.settings, training.processes, lambda: training.run.kept
    try:
        yield
    except NotFinite as error:
        rows = batch_indexes(training.data.train, settings.batch, error.step - 1, settings.seed)
        path = settings.out / "not_finite.json"
        if not processes.first:  # all find the same
            raise FirstFailed(str(error)) from error
        raise stops.not_finite(error.step, rows, training.data.store, path, kept()) from error
    except RuntimeError as error:
        if stops.is_out_of_memory(error):
            pooled = 0 if training.loader.pool is None else training.data.store.nbytes
            raise stops.out_of_memory(settings, processes.count, training.machine.device, pooled, kept()) from error
        raise


# --- what is told ----------------------------------------------------------------------------------------------------


def provenance(training: Training) -> dict:
    """The account of a training that goes into the network's file."""
    settings, step = training.settings.as_json(), training.fit.step
    for name in ("data", "out", "resume", "device"):  # of this machine, not of the network
        del settings[name]
    return {
        "method": "Dang et al., ICCV 2025, arXiv 2501.05710",
        "data": training.data.summary,
        "scale": training.settings.scale,
        "loss": "weighted mean square of neutral + scale (emotional - neutral), weights density^-density_power",
        "steps": step,
        "samples": step * training.settings.batch,
        "validation": training.best,
        "seed": training.settings.seed,
        "settings": settings,
        "torch": torch.__version__,
    }


def describe(training: Training) -> dict:
    """The description of a run that goes into run.json."""
    device, parameters = training.machine.device, sum(p.numel() for p in training.fit.parameters)
    return {
        "settings": training.settings.as_json(),
        "data": training.data.summary,
        "network": asdict(training.network.config) | {"parameters": parameters},
        "steps": training.fit.schedule.steps,
        "processes": training.processes.count,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        "precision": "bfloat16 autocast" if training.machine.bfloat16 else "float32",
        "features_on_device": training.loader.pool is not None,
        "torch": torch.__version__,
    }


def _overview(description: dict, step: int) -> str:
    data, weights, processes = description["data"], description["data"]["weights"], description["processes"]
    steps = f"{description['steps']:,}"
    return (
        f"{data['pairs']['train']:,} pairs to train on, {data['pairs']['validation']:,} to validate; features of "
        f"{data['encoder']['name']}.\nWeights from {weights['smallest']:.3g} to {weights['largest']:.3g}, worth "
        f"{weights['effective_pairs']:,.0f} equal pairs of {weights['of']:,}.\n"
        f"{description['network']['parameters'] / 1e6:.1f} million parameters on {description['device']} in "
        f"{description['precision']}, {processes} process{'es' if processes > 1 else ''}.\n"
        + (f"Going on at step {step} of {steps}." if step else f"{steps} steps.")
    )


def _farewell(training: Training) -> str:
    out, best, run = training.settings.out, training.best, training.run
    lines = [
        f"Done after {run.fit.step} steps in {time.strftime('%H:%M:%S', time.gmtime(run.seconds))}. Best: step "
        f"{best['step']}, validation loss {best['loss']:.4g}.",
        f"{out / 'network.safetensors'} is for models/emoticrafter; python -m trainer.report {out} shows the run.",
        stand_in_warning(training.data.summary),
    ]
    return "\n".join(filter(None, lines))
