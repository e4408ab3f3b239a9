"""What the server counts, in the form that Prometheus reads."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from moksori.serving.admission import Admission

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_FIRST = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_BATCHES = (2, 4, 8, 16, 32)
_WHOLE = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Metrics:
    """Counters of one app. Names of labels come from the routes and the catalogue, never from requests."""

    def __init__(self, admission: Admission) -> None:
        registry = self._registry = CollectorRegistry()
        self.requests = Counter("moksori_requests", "Answers", ["route", "status"], registry=registry)
        self.seconds = Histogram(
            "moksori_request_seconds", "Time of answers", ["route"], registry=registry, buckets=_WHOLE
        )
        self.first_audio = Histogram(
            "moksori_first_audio_seconds", "Arrival to first sound", registry=registry, buckets=_FIRST
        )
        self.sound = Counter("moksori_sound_seconds", "Seconds of sound made", ["model"], registry=registry)
        self.batches = Histogram(
            "moksori_batch_sentences", "Sentences spoken at once", registry=registry, buckets=_BATCHES
        )
        self.characters = Counter("moksori_text_characters", "Characters spoken", registry=registry)
        self.failures = Counter("moksori_broken_answers", "Answers that failed on the way", registry=registry)
        self.gone = Counter("moksori_disconnects", "Answers that nobody waited for", registry=registry)
        Gauge("moksori_active", "Requests worked on", registry=registry).set_function(lambda: admission.active)
        Gauge("moksori_waiting", "Requests waiting", registry=registry).set_function(lambda: admission.waiting)

    def text(self) -> bytes:
        """All of them."""
        return generate_latest(self._registry)
