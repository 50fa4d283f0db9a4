"""The device of a command: what --compile does where nothing can be compiled."""

import pytest
import torch
from torch import nn

from trainer.core.device import Machine

COMPILES = Machine(torch.device("cpu"), compile=True)


class Doubled(nn.Module):
    def forward(self, x):
        if x.numel() == 0:
            raise ZeroDivisionError("nothing to double")
        return 2 * x


def test_a_run_goes_on_where_nothing_can_be_compiled(monkeypatch, capsys):
    def unsupported(module):
        raise RuntimeError("torch.compile is not supported on Python 3.99+")

    def without_a_compiler(module):
        def call(x):
            raise LookupError("No working C++ compiler found in cpp.cxx: (None, 'g++')\n\nSet TORCHDYNAMO_VERBOSE=1")

        return call

    for broken, why in (
        (unsupported, "RuntimeError: torch.compile is not supported on Python 3.99+"),
        (without_a_compiler, "LookupError: No working C++ compiler found in cpp.cxx: (None, 'g++')"),
    ):
        monkeypatch.setattr(torch, "compile", broken)
        model = COMPILES.compiled(Doubled())
        assert [model(torch.tensor(2.0)).item() for _ in range(2)] == [4, 4] and model.training
        told = f"--compile does not work here ({why}): going on without it, slower.\n"
        assert capsys.readouterr().err == told


def test_an_error_of_the_module_is_its_own(monkeypatch, capsys):
    monkeypatch.setattr(torch, "compile", lambda module: module)
    model = COMPILES.compiled(Doubled())
    with pytest.raises(ZeroDivisionError):
        model(torch.zeros(0))
    assert model(torch.ones(())).item() == 2 and not capsys.readouterr().err
