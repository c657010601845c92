"""Settings of the whole test run: threads, shape checks, Hypothesis."""

from __future__ import annotations

import os

# Before anything of the hub is imported: no test may use the network.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from hypothesis import settings

from tests import shape_checks

# The models of the tests are too small for several threads to help.
torch.set_num_threads(1)
shape_checks.install()
settings.register_profile("ci", derandomize=True, deadline=None, max_examples=25)
settings.load_profile("ci")
