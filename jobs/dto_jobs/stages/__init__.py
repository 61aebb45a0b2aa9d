"""One module per stage, one shape, none knowing another."""
