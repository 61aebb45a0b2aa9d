"""The work of a DTORun: what each stage does, how a run is planned from its stages, and how it runs here."""

__version__ = "0.1.0"
