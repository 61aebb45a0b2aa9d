"""What runs and trains models: the only place that imports torch, transformers or trl."""

import os

# These libraries read their switches when they are imported. A run tells nobody that it runs; trl's warning that
# its preference trainers may change is answered by the pinned version and the tests of the loss.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
