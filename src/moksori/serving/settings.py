"""How the server is set up: where it listens, who may ask, and how much."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from moksori.errors import BadInput


@dataclass(frozen=True)
class Settings:
    """Plain values, so that they can be handed to another process.

    host, port: of the HTTP server. api_key: what requests must bring; None: nobody needs one, which only the own
    machine may be given, unless `insecure`. threads: torch's; None: half of the processors. keep_models: loaded at a
    time. preload: loaded at the start; default: the default voice. watermark: whether every sound is marked.
    most_*: limits of one request: characters of text, seconds of sound that is made, bytes and seconds of what is sent.
    concurrency: requests that are worked on by turns; queue: that wait; more are told to come back later. batch: short
    sentences of so many of them are spoken at once where they wait for each other; 1: none are.
    timeout_seconds: from a request's arrival to the end of its answer. idle_seconds: in which nothing is sent or taken.
    scoreboard: folder of `moksori scoreboard`. voices: folder of kept voices; None: moksori's own.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    api_key: str | None = None
    insecure: bool = False
    device: str = "cpu"
    threads: int | None = None
    keep_models: int = 4
    preload: tuple[str, ...] = ()
    watermark: bool = False
    most_characters: int = 10_000
    most_seconds: float = 1200.0
    most_upload_bytes: int = 25 * 2**20
    most_upload_seconds: float = 600.0
    concurrency: int = 8
    queue: int = 56
    batch: int = 8
    timeout_seconds: float = 600.0
    idle_seconds: float = 30.0
    scoreboard: Path = Path("scoreboard")
    voices: Path | None = None

    def __post_init__(self) -> None:
        """Raises BadInput for numbers out of range, and for an open door: an address of the network without a key."""
        numbers = {
            "threads": self.threads or 1,
            "models": self.keep_models,
            "characters": self.most_characters,
            "seconds": self.most_seconds,
            "upload bytes": self.most_upload_bytes,
            "upload seconds": self.most_upload_seconds,
            "concurrency": self.concurrency,
            "batch": self.batch,
            "timeout": self.timeout_seconds,
            "idle seconds": self.idle_seconds,
        }
        for name, number in numbers.items():
            if number <= 0:
                raise BadInput(f"{name} {number}: expected a number above 0")
        if self.queue < 0:
            raise BadInput(f"queue {self.queue}: expected a whole number from 0 on")
        if not 0 <= self.port <= 65535:
            raise BadInput(f"port {self.port}: expected a number from 0 to 65535")
        if self.api_key is not None and len(self.api_key) < 8:
            raise BadInput("the API key: has fewer than 8 characters: take a longer one (openssl rand -hex 16)")
        if not is_loopback(self.host) and self.api_key is None and not self.insecure:
            raise BadInput(
                f"host {self.host}: others in the network could use the server: give --api-key KEY, or MOKSORI_API_KEY "
                "in the environment; --insecure if everybody there may use it"
            )


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
