"""What reconcile answers: what to do, what to say about the run, and when to look again."""

from dataclasses import dataclass

from dto_operator.orders import Order
from dto_operator.status import Status


@dataclass(frozen=True)
class Decision:
    """What follows from what is seen."""

    orders: tuple[Order, ...] = ()
    """To be carried out in this order; what fails is decided anew from what is seen then."""
    status: Status | None = None
    """The whole status to write; None leaves what is there as it is."""
    look_again: float | None = None
    """Seconds after which something is due that no event will tell."""
