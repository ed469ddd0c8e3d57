"""Hypothesis profiles: `dev` by default, `ci` derandomized, `soak` for `make fuzz`."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# What helpers assert counts under `python -O`, too, as in the files of tests.
pytest.register_assert_rewrite(*(path.stem for path in (Path(__file__).parent / "helpers").glob("*.py")))

# How long examples take to make says more of what else the machine does than of a test.
patient = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("dev", max_examples=60, **patient)
settings.register_profile("ci", max_examples=100, derandomize=True, **patient)
settings.register_profile(
    "soak", max_examples=5000, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))

# Whatever started the tests in the background may have set it to be ignored, which programs that they start inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)
