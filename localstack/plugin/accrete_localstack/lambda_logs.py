"""What Lambda itself writes into a function's log, around what the function prints."""

from dataclasses import dataclass


@dataclass
class Call:
    """Of one invocation. Durations in milliseconds; without an init duration the environment was warm."""

    request_id: str
    version: str
    memory_mb: int
    duration: float = 0.0
    init_duration: float | None = None
    max_memory_mb: int | None = None
    status: str = ""

    def text(self, printed: str, last_words: str = "") -> str:
        """START, what was printed, END and REPORT."""
        start = f"START RequestId: {self.request_id} Version: {self.version}\n"
        end = f"END RequestId: {self.request_id}\n"
        return start + whole_lines(printed) + whole_lines(last_words) + end + self.report()

    def report(self) -> str:
        fields = [
            f"REPORT RequestId: {self.request_id}",
            f"Duration: {self.duration:.2f} ms",
            f"Billed Duration: {-int(-(self.duration + (self.init_duration or 0)) // 1)} ms",
            f"Memory Size: {self.memory_mb} MB",
        ]
        if self.max_memory_mb is not None:
            fields.append(f"Max Memory Used: {self.max_memory_mb} MB")
        if self.init_duration is not None:
            fields.append(f"Init Duration: {self.init_duration:.2f} ms")
        if self.status:
            fields.append(f"Status: {self.status}")
        return "\t".join(fields) + "\n"


def init_text(printed: str, runtime: str, duration: float, fault: str | None) -> str:
    """Of an environment that was started; with the fault's type if that went wrong."""
    start = f"INIT_START Runtime Version: {runtime.replace('nodejs', 'nodejs:').removesuffix('.x')}\n"
    if fault is None:
        return start + whole_lines(printed)
    status = "timeout" if fault == "Sandbox.Timedout" else "error"
    report = f"INIT_REPORT Init Duration: {duration:.2f} ms\tPhase: init\tStatus: {status}\tError Type: {fault}\n"
    return start + whole_lines(printed) + report


def whole_lines(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"
