"""Tells OpenTelemetry of a run that has ended, where the user has it installed and configured.

A span `invoke_workflow mirador`, below it one `chat MODEL` for each stage that was asked, and the
histograms of the semantic conventions for generative AI that this can fill truthfully; names of
Mirador's own begin with `mirador.`. No gap between chunks is kept, so that there is no
`time_per_output_chunk`; a span has the time per output *token* instead. Times in seconds.

The words of a question and its answers go out only where OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT
says so, as in other libraries: what is kept on this machine is another matter.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mirador_magic.confidence import band
from mirador_magic.pipeline.metrics import Purpose, RunMetrics, StageMetrics

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import Meter, MeterProvider
    from opentelemetry.trace import Tracer, TracerProvider

Attributes = dict[str, str | bool | int | float | list[str]]

DURATIONS = tuple(0.01 * 2**n for n in range(14))  # bucket bounds, seconds
WORKFLOWS = (1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200)  # seconds
TOKENS = tuple(4**n for n in range(14))

_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_ON = ("true", "1", "span_only", "span_and_event")


@dataclass(frozen=True)
class Ended:
    """A run that ended at `at`, in unix seconds; `texts` are the answers by stage."""

    run: RunMetrics
    at: float
    purpose: Purpose = "ask"
    question: str = ""
    texts: Mapping[str, str] = field(default_factory=dict)


def export(
    ended: Ended, tracers: TracerProvider | None = None, meters: MeterProvider | None = None
) -> None:
    """Tell these providers, or the configured ones, of the run. Without any it does nothing."""
    if not (tracers or meters or is_configured()):
        return
    try:
        from opentelemetry import metrics, trace
    except ImportError:
        return
    _spans(ended, trace.get_tracer("mirador_magic", tracer_provider=tracers))
    _histograms(ended, metrics.get_meter("mirador_magic", meter_provider=meters))


def is_configured() -> bool:
    """Whether there can be a provider: to set one is to import the API, or to name it here."""
    named = ("OTEL_PYTHON_TRACER_PROVIDER", "OTEL_PYTHON_METER_PROVIDER")
    return "opentelemetry" in sys.modules or any(name in os.environ for name in named)


def _spans(ended: Ended, tracer: Tracer) -> None:
    from opentelemetry import trace

    began = ended.at - ended.run.total
    span = tracer.start_span(
        "invoke_workflow mirador", start_time=_ns(began), attributes=_workflow(ended)
    )
    if ended.run.outcome == "failed":
        span.set_status(trace.StatusCode.ERROR)
    within = trace.set_span_in_context(span)
    for stage in ended.run.stages:
        if stage.began is not None:
            _chat_span(ended, stage, tracer, within)
    span.end(_ns(ended.at))


def _chat_span(ended: Ended, stage: StageMetrics, tracer: Tracer, within: Context) -> None:
    from opentelemetry import trace

    began = ended.at - ended.run.total + (stage.began or 0.0)
    over = ended.at if stage.total is None else began + stage.total
    span = tracer.start_span(
        f"chat {stage.model}",
        context=within,
        kind=trace.SpanKind.CLIENT,
        start_time=_ns(began),
        attributes=_chat(ended, stage),
    )
    if stage.confidence is not None and stage.how != "declared":
        judged: Attributes = {
            "gen_ai.evaluation.name": "confidence",
            "gen_ai.evaluation.score.value": stage.confidence,
            "gen_ai.evaluation.score.label": band(stage.confidence).word,
            "mirador.confidence.how": stage.how,
        }
        span.add_event("gen_ai.evaluation.result", judged, _ns(over))
    if stage.ended == "failed":
        span.set_status(trace.StatusCode.ERROR)
    span.end(_ns(over))


def _workflow(ended: Ended) -> Attributes:
    run = ended.run
    given = {
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.workflow.name": "mirador",
        "mirador.purpose": ended.purpose,
        "mirador.outcome": run.outcome,
        "mirador.partial": run.partial,
        # its reasons are words of the question
        "mirador.route": run.route if _tells_words() else run.route.partition(":")[0],
        "mirador.time_to_first_text": run.useful,
        "mirador.cold": run.cold,
        "error.type": _error(run),
    }
    if _tells_words():
        given["gen_ai.input.messages"] = _message("user", ended.question)
    return _known(given)


def _chat(ended: Ended, stage: StageMetrics) -> Attributes:
    given = _common(ended.run, stage) | {
        "gen_ai.request.stream": True,
        "gen_ai.response.time_to_first_chunk": _first_chunk(stage),
        "gen_ai.usage.input_tokens": stage.prompt_tokens,
        "gen_ai.usage.output_tokens": stage.output_tokens,
        "mirador.stage": stage.stage,
        "mirador.ended": stage.ended,
        "mirador.time_to_first_text": stage.ttft,
        "mirador.time_per_output_token": stage.tpot,
        "mirador.longest_stall": stage.stall,
        "mirador.load": stage.load,
        "mirador.cold": stage.cold,
        "mirador.swapped": stage.swapped,
    }
    told = _known(given)
    if stage.ended in ("done", "length"):
        told["gen_ai.response.finish_reasons"] = ["length" if stage.ended == "length" else "stop"]
    if _tells_words() and (text := ended.texts.get(stage.stage)):
        told["gen_ai.output.messages"] = _message("assistant", text)
    return told


def _common(run: RunMetrics, stage: StageMetrics) -> dict[str, object]:
    """What spans and histograms say alike."""
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _provider(run.engine),
        "gen_ai.request.model": stage.model,
        "error.type": stage.error,
    }


def _histograms(ended: Ended, meter: Meter) -> None:
    def tell(
        name: str, unit: str, buckets: tuple[float, ...], value: float | None, given: Attributes
    ) -> None:
        if value is not None:
            histogram = meter.create_histogram(
                f"gen_ai.{name}", unit, explicit_bucket_boundaries_advisory=buckets
            )
            histogram.record(value, given)

    run = ended.run
    told = _known({"gen_ai.workflow.name": "mirador", "error.type": _error(run)})
    tell("workflow.duration", "s", WORKFLOWS, run.total, told)
    for stage in run.stages:
        given = _known(_common(run, stage))
        tell("client.operation.duration", "s", DURATIONS, stage.total, given)
        first = "client.operation.time_to_first_chunk"
        tell(first, "s", DURATIONS, _first_chunk(stage), given)
        for kind, count in (("input", stage.prompt_tokens), ("output", stage.output_tokens)):
            of_kind = given | {"gen_ai.token.type": kind}
            tell("client.token.usage", "{token}", TOKENS, count, of_kind)


def _error(run: RunMetrics) -> str:
    """The kind of what made the run fail, '' where it did not."""
    return (run.error or "_OTHER") if run.outcome == "failed" else ""


def _first_chunk(stage: StageMetrics) -> float | None:
    """When the first chunk came, a thought being one."""
    return min((at for at in (stage.thought, stage.ttft) if at is not None), default=None)


def _provider(engine: str) -> str:
    """The provider `ollama` of the engine "Ollama 0.34.1"."""
    return engine.partition(" ")[0].rstrip(",").lower() or "_OTHER"


def _tells_words() -> bool:
    return os.environ.get(_CONTENT, "").strip().lower() in _ON


def _message(role: str, text: str) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])


def _known(given: Mapping[str, object]) -> Attributes:
    """Without what is not known."""
    return {
        name: value
        for name, value in given.items()
        if isinstance(value, (str, int, float)) and value != ""
    }


def _ns(at: float) -> int:
    return int(at * 1e9)
