"""Measures any server that speaks the Realtime protocol, as a caller would: from the outside, in samples.

Where a single engine or step is to be measured, a benchmark looks inside; pyproject.toml lists the few that may.
"""

import os

# Where a benchmark imports ONNX Runtime itself, its maker is not told.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
