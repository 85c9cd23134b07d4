"""Prometheus metrics of the server, in their own registry. They hold numbers and fixed labels, never text that a client wrote."""

import logging
import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from tina_azr.engine.types import Event, Failed, Finished, Generation
from tina_azr.serve.in_flight import InFlightRequest
from tina_azr.serve.tina_object import completion_tokens

logger = logging.getLogger("tina_azr.serve")
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)


class Metrics:
    """Counters, gauges and histograms that `/metrics` shows."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "tina_http_requests", "HTTP requests, by path and status.", ["path", "status"], registry=self.registry
        )
        self.in_flight = Gauge("tina_completions_in_flight", "Completions that are running or waiting.", registry=self.registry)
        self._tokens = Counter("tina_tokens", "Tokens, by kind: prompt, think, answer.", ["kind"], registry=self.registry)
        self._finished = Counter("tina_completions", "Completions that ended, by reason.", ["reason"], registry=self.registry)
        self._think_stops = Counter("tina_think_stops", "Reasons why the reasoning ended.", ["cause"], registry=self.registry)
        self._ended = Counter("tina_ended_requests", "Requests that the server ended, by cause.", ["by"], registry=self.registry)
        self._leaks = Counter("tina_leaks", "Answers that hold a think tag.", registry=self.registry)
        self._failures = Counter("tina_failures", "Requests that the engine failed on.", registry=self.registry)
        self._first = Histogram("tina_time_to_first_token_seconds", "From submission.", registry=self.registry, buckets=SECONDS)
        self._whole = Histogram("tina_request_seconds", "From submission to the end.", registry=self.registry, buckets=SECONDS)

    def text(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def observe(self, in_flight: InFlightRequest, event: Event) -> None:
        """Count an event. Log the end of a completion in one line."""
        if isinstance(event, Failed):
            self._failures.inc()
            logger.warning("%s failed", in_flight.id)
        elif isinstance(event, Finished):
            self._count(in_flight, event.generation)
        if not in_flight.unfinished:
            self._whole.observe(time.monotonic() - in_flight.submitted)
            if in_flight.first_token is not None:
                self._first.observe(in_flight.first_token - in_flight.submitted)
            if in_flight.ended_by is not None:
                self._ended.labels(in_flight.ended_by.value).inc()

    def _count(self, in_flight: InFlightRequest, generation: Generation) -> None:
        if generation.index == 0:
            self._tokens.labels("prompt").inc(generation.prompt_tokens)
        self._tokens.labels("think").inc(generation.think_tokens)
        self._tokens.labels("answer").inc(generation.answer_tokens)
        self._finished.labels(generation.finish_reason.value).inc()
        self._think_stops.labels(generation.think_stop.value).inc()
        if generation.leak:
            self._leaks.inc()
        logger.info(
            "%s [%d] %s: prompt %d, reasoning %d (%s), completion %d tokens, %.2f s%s",
            in_flight.id,
            generation.index,
            generation.finish_reason.value,
            generation.prompt_tokens,
            generation.think_tokens,
            generation.think_stop.value,
            completion_tokens(generation),
            time.monotonic() - in_flight.submitted,
            f", ended by {in_flight.ended_by.value}" if in_flight.ended_by is not None else "",
        )
