"""What runs and trains models: the only place that imports torch, transformers or trl."""
