"""What runs and trains models: the only place that imports torch, transformers, vllm or trl."""

import logging
import os
import warnings

# These libraries read their switches when they are imported. A run tells nobody that it runs; trl's warning that
# its preference trainers may change is answered by the pinned version and the tests of the loss.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
# vLLM speaks up when something is wrong, not in standard output, where results go, and tells nobody that it runs.
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
# torch says twice that it found no triton, which a CPU has no use for.
for name in ("torch.utils.flop_counter", "torch._library.triton"):
    logging.getLogger(name).setLevel(logging.ERROR)
# While vLLM is imported it looks at every attribute of every module, deprecated ones of torch included.
warnings.filterwarnings("ignore", category=FutureWarning, module=r"vllm\.")
