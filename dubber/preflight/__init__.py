"""What can be known before a run: whether it will work, what it will do, how long it takes.

`quick` reads headers and is the first step of every run; `check` looks at sampled pictures and listens, and
takes some seconds for any length of film. Everything found is a value, see `Finding`.
"""

from dubber.preflight.checks import Preflight, Request, check, quick
from dubber.preflight.findings import Finding

__all__ = ["Finding", "Preflight", "Request", "check", "quick"]
