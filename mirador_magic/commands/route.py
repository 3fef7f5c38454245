"""`%mirador route`: which stages a question would go through, and why."""

from __future__ import annotations

from mirador_magic.commands.line import Line
from mirador_magic.errors import UsageError
from mirador_magic.routing import router
from mirador_magic.session.session import Session


async def verb(session: Session, read: Line) -> None:
    if not read.text:
        raise UsageError("%mirador route: of which question?", "%mirador route Why is it slow?")
    found = router.route(read.text)
    shares = ", ".join(f"{name} {share:.0%}" for name, share in found.probabilities.items())
    print(f"{found}\nstages: {', '.join(found.stages)}\nprobabilities: {shares}")
