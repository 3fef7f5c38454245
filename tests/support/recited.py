"""What each model of the test servers answers, to whatever it is asked."""

from pathlib import Path

from tests.support.ollama_server import OllamaServer
from tests.support.patience import PATIENCE
from tests.support.reciting_gguf import LONG_WINDED, TINY, Shape, write

QUICK = "speed_optimizer_phi:latest"
DEEP = "gemma2:9b"
SYNTHESIS = "matthew_context_provider_v5_complete:latest"

NEL = "nel:latest"
"""Its answer contains U+0085, on which the official client's own stream breaks."""

UNSURE = "unsure:latest"
"""It gives each of its tokens a probability of `UNSURE_PROBABILITY`."""
UNSURE_PROBABILITY = 0.92

SLOW = "slow:latest"
"""It repeats its text until it is stopped, or for ten times its context: so far Ollama lets it."""

RECITED: dict[str, str] = {
    QUICK: "The sky is blue because air scatters blue light more than it scatters red light.",
    DEEP: (
        "Sunlight holds every colour, and **air molecules scatter the short waves** far more:\n\n"
        "- blue, 450 nm: strongly\n- red, 700 nm: hardly at all\n\n"
        "That is `Rayleigh scattering`, and it is why sunsets are red."
    ),
    SYNTHESIS: (
        "Scattering grows with 1/λ⁴, so blue & violet reach you from <b>everywhere</b> in the sky. "
        "Violet loses: the sun sends less of it, and our eyes hardly see it — the sky looks blue."
    ),
    NEL: "This line ends here,\u0085and after the next-line character comes the rest of it.",
    UNSURE: "It may rain tomorrow, or perhaps it will not; I would take an umbrella.",
    SLOW: (  # long enough to be no loop
        "The tide comes in and the tide goes out, while nobody but gulls counts any wave. Fishermen mend "
        "their nets beside an old wall; two children dig until evening, then walk home along narrow "
        "lanes. Later rain falls over both piers, lamps are lit, somebody closes her window, a dog barks "
        "twice, and far beyond the lighthouse one ship waits for morning under clouds that hide every "
        "star which sailors once knew by name. "
    ),
}

_SHAPES: dict[str, Shape] = {SLOW: LONG_WINDED}
_PROBABILITIES = {UNSURE: UNSURE_PROBABILITY}


def write_models(folder: Path) -> dict[str, Path]:
    """The GGUF file of every model that recites, by the model's name."""
    return {
        name: write(
            folder / f"{name.partition(':')[0]}.gguf",
            script,
            shape=_SHAPES.get(name, TINY),
            loop=name == SLOW,
            probability=_PROBABILITIES.get(name, 1.0),
            known="Why is the sky blue" if name == QUICK else "",
        )
        for name, script in RECITED.items()
    }


def while_it_goes_on(server: OllamaServer, model: str = SLOW, context: int = 4096) -> float:
    """Half the seconds that this model goes on if nobody ends it, at the pace that it has now.

    Who is answered by it in that time found it free: a limit that was chosen would prove nothing on
    a fast machine, and fail on a slow one.
    """
    import ollama as client  # not before conftest.py: it reads the user's proxies

    with client.Client(server.host, timeout=PATIENCE) as ollama:
        options = {"num_predict": 60, "num_ctx": context}
        asked = [{"role": "user", "content": "Why is the sky blue?"}]
        answer = ollama.chat(model, asked, options=options)
    assert answer.eval_count and answer.eval_duration
    return float(10 * context * answer.eval_duration / answer.eval_count / 1e9 / 2)


def install(server: OllamaServer, models: dict[str, Path]) -> None:
    """Creates the models; one thread each, since a second one only waits for so little work."""
    for name, gguf in models.items():
        server.create(name, gguf, num_thread=1)
