"""What OpenTelemetry is told of a run, read back by the SDK's exporters in memory."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from mirador_magic.pipeline.metrics import RunMetrics, StageMetrics
from mirador_magic.store import Recorder, Store, telemetry
from mirador_magic.store.telemetry import DURATIONS, TOKENS, Ended, export

CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
AT = 1_700_000_000.0

DONE = StageMetrics(
    "quick_response",
    "tiny:1b",
    "length",
    began=0.5,
    thought=0.25,
    ttft=1.5,
    total=4.5,
    stall=0.75,
    prompt_tokens=20,
    output_tokens=9,
    load=6.0,
    confidence=0.95,
    how="calibrated",
)
FAILED = StageMetrics(
    "synthesis", "big:7b", "failed", 5.0, total=1.0, error="EngineLost", confidence=0.9
)
SKIPPED = StageMetrics("critic", "huge:70b")
RUN = RunMetrics(
    "answered",
    "Ollama 0.34.1",
    "medium (64 %): plan, budget",
    2.0,
    8.0,
    (DONE, FAILED, SKIPPED),
    "EngineLost",
)
TEXTS = {"quick_response": "because", "synthesis": ""}


def spans(run: RunMetrics = RUN) -> dict[str, ReadableSpan]:
    """What the run is told as, by the spans' names."""
    exporter, tracers = InMemorySpanExporter(), TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    export(Ended(run, AT, "ask", "why so?", TEXTS), tracers=tracers)
    return {span.name: span for span in exporter.get_finished_spans()}


def histograms(run: RunMetrics = RUN) -> dict[str, list[HistogramDataPoint]]:
    reader = InMemoryMetricReader()
    export(Ended(run, AT), meters=MeterProvider([reader]))
    data = reader.get_metrics_data()
    assert data
    return {
        metric.name: list(metric.data.data_points)  # type: ignore[arg-type]
        for each in data.resource_metrics
        for scope in each.scope_metrics
        for metric in scope.metrics
    }


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_span_for_the_run_and_one_for_each_stage_that_was_asked() -> None:
    told = spans()
    assert set(told) == {"invoke_workflow mirador", "chat tiny:1b", "chat big:7b"}
    whole, stage = told["invoke_workflow mirador"], told["chat tiny:1b"]
    assert stage.parent and whole.context and stage.parent.span_id == whole.context.span_id
    assert (whole.kind, stage.kind) == (SpanKind.INTERNAL, SpanKind.CLIENT)
    assert (whole.start_time, whole.end_time) == ((AT - 8) * 1e9, AT * 1e9)
    assert (stage.start_time, stage.end_time) == ((AT - 7.5) * 1e9, (AT - 3) * 1e9)


def test_what_the_spans_say() -> None:
    told = spans()
    assert attributes(told["invoke_workflow mirador"]) == {
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.workflow.name": "mirador",
        "mirador.purpose": "ask",
        "mirador.outcome": "answered",
        "mirador.partial": True,
        "mirador.route": "medium (64 %)",
        "mirador.time_to_first_text": 2.0,
        "mirador.cold": True,
    }
    assert attributes(told["chat tiny:1b"]) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "ollama",
        "gen_ai.request.model": "tiny:1b",
        "gen_ai.request.stream": True,
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.response.finish_reasons": ("length",),
        "gen_ai.usage.input_tokens": 20,
        "gen_ai.usage.output_tokens": 9,
        "mirador.stage": "quick_response",
        "mirador.ended": "length",
        "mirador.time_to_first_text": 1.5,
        "mirador.longest_stall": 0.75,
        "mirador.load": 6.0,
        "mirador.cold": True,
        "mirador.swapped": False,
    }


def test_a_failed_stage_is_an_error_and_the_run_that_answered_is_none() -> None:
    told = spans()
    failed = told["chat big:7b"]
    assert failed.status.status_code is StatusCode.ERROR
    assert attributes(failed)["error.type"] == "EngineLost"
    assert "gen_ai.response.finish_reasons" not in attributes(failed)
    assert told["invoke_workflow mirador"].status.status_code is StatusCode.UNSET
    whole = spans(replace(RUN, outcome="failed"))["invoke_workflow mirador"]
    assert whole.status.status_code is StatusCode.ERROR
    assert attributes(whole)["error.type"] == "EngineLost"


def test_a_confidence_is_told_where_it_was_measured() -> None:
    told = spans()
    (event,) = told["chat tiny:1b"].events
    assert event.name == "gen_ai.evaluation.result"
    assert dict(event.attributes or {}) == {
        "gen_ai.evaluation.name": "confidence",
        "gen_ai.evaluation.score.value": 0.95,
        "gen_ai.evaluation.score.label": "sure",
        "mirador.confidence.how": "calibrated",
    }
    assert not told["chat big:7b"].events  # a declared one is no evaluation


def test_words_go_out_only_where_the_user_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CONTENT, raising=False)
    plain = "".join(str(attributes(span)) for span in spans().values())
    assert not any(word in plain for word in ("because", "why so", "budget"))
    monkeypatch.setenv(CONTENT, "True")
    told = spans()
    whole, stage = (attributes(told[name]) for name in ("invoke_workflow mirador", "chat tiny:1b"))
    assert whole["mirador.route"] == "medium (64 %): plan, budget"
    asked = [{"role": "user", "parts": [{"type": "text", "content": "why so?"}]}]
    assert json.loads(whole["gen_ai.input.messages"]) == asked
    answered = [{"role": "assistant", "parts": [{"type": "text", "content": "because"}]}]
    assert json.loads(stage["gen_ai.output.messages"]) == answered


def test_the_histograms() -> None:
    told = histograms()
    assert set(told) == {
        "gen_ai.workflow.duration",
        "gen_ai.client.operation.duration",
        "gen_ai.client.operation.time_to_first_chunk",
        "gen_ai.client.token.usage",
    }
    (whole,) = told["gen_ai.workflow.duration"]
    assert (whole.sum, whole.count) == (8.0, 1)
    durations = {
        point.attributes["gen_ai.request.model"]: point  # type: ignore[index]
        for point in told["gen_ai.client.operation.duration"]
    }
    assert {model: point.sum for model, point in durations.items()} == {
        "tiny:1b": 4.5,
        "big:7b": 1.0,
    }
    assert dict(durations["big:7b"].attributes or {})["error.type"] == "EngineLost"
    assert "error.type" not in dict(durations["tiny:1b"].attributes or {})
    assert tuple(durations["tiny:1b"].explicit_bounds) == DURATIONS
    tokens = {
        dict(point.attributes or {})["gen_ai.token.type"]: (point.sum, tuple(point.explicit_bounds))
        for point in told["gen_ai.client.token.usage"]
    }
    assert tokens == {"input": (20, TOKENS), "output": (9, TOKENS)}
    (first,) = told["gen_ai.client.operation.time_to_first_chunk"]
    assert first.sum == 0.25


def test_the_buckets_are_the_conventions() -> None:
    assert DURATIONS[:3] == (0.01, 0.02, 0.04) and DURATIONS[-1] == 81.92
    assert TOKENS[:3] == (1, 4, 16) and TOKENS[-1] == 67108864


def test_nothing_is_imported_and_nothing_happens_without_it() -> None:
    code = """
import sys
from mirador_magic.store.telemetry import (Ended, export)
from mirador_magic.store import telemetry
from mirador_magic.pipeline.metrics import RunMetrics
export(Ended(RunMetrics("answered", "e", "", None, 1.0, ()), 1.0))
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
sys.modules["opentelemetry"] = None  # a provider is named, and there is no such package
import os; os.environ["OTEL_PYTHON_TRACER_PROVIDER"] = "sdk_tracer_provider"
export(Ended(RunMetrics("answered", "e", "", None, 1.0, ()), 1.0))
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_recorder_tells_the_configured_providers_below_the_users_own_span(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter, tracers = InMemorySpanExporter(), TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    # a provider is set once in a process: these tests must not
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: tracers)
    recorder = Recorder(tmp_path / "runs.sqlite3")
    with trace.get_tracer("mine").start_as_current_span("mine"):
        recorder.record(
            RUN, purpose="ask", question="why so?", texts=TEXTS, keep_texts=False, keep_days=90
        )
    recorder.close()
    told = {span.name: span for span in exporter.get_finished_spans()}
    mine, whole = told["mine"], told["invoke_workflow mirador"]
    assert len(told) == 4
    assert whole.parent and mine.context and whole.parent.span_id == mine.context.span_id


def test_an_exporter_that_fails_costs_one_warning_and_no_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("the collector\nis away")

    monkeypatch.setattr(telemetry, "export", fails)
    recorder = Recorder(tmp_path / "runs.sqlite3")
    for _ in range(3):
        recorder.record(RUN, purpose="ask", question="", texts={}, keep_texts=False, keep_days=90)
    recorder.close()
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING] == [
        "OpenTelemetry is not told of runs: RuntimeError the collector is away"
    ]
    with closing(Store(tmp_path / "runs.sqlite3")) as store:
        assert len(store.runs()) == 3
