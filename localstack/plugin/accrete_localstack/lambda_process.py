"""LocalStack plugin: a Lambda's execution environment is a Node process, not a Docker container.

Chosen by LAMBDA_RUNTIME_EXECUTOR=process. The process runs lambda_runner.mjs: a JSON line for each call on its standard input, one for
each outcome on a pipe of its own; what it prints is the log. ACCRETE_LAMBDA_NODE names the Node. Where a function's name ends with
"-" and ACCRETE_LAMBDA_INSPECT, its process waits for a debugger, and has all the time in the world.
"""

import fcntl
import json
import logging
import os
import select
import shutil
import socket
import subprocess
import tempfile
import time
from datetime import datetime, timezone
from functools import cache
from pathlib import Path

from localstack import config
from localstack.services.lambda_.invocation.execution_environment import ExecutionEnvironment
from localstack.services.lambda_.invocation.lambda_models import InvocationResult
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor

from accrete_localstack.lambda_logs import Call, init_text

LOG = logging.getLogger(__name__)
RUNNER = Path(__file__).with_name("lambda_runner.mjs")
INIT_SECONDS = 10  # as on AWS; what takes longer is begun again by the first call
ANSWER_BYTES_MAX = 6 * 1024 * 1024 + 100 * 1024  # of an answer, as on AWS
READ_BYTES = 1 << 20
INSPECT_PORT = 9229  # where debuggers look by themselves
DEBUG_SECONDS = 86_400
# what LocalStack tells an init program that isn't here
NOT_FOR_FUNCTIONS = ("LOCALSTACK_", "EDGE_PORT", "LAMBDA_RUNTIME_DIR")


def node() -> str:
    return os.environ.get("ACCRETE_LAMBDA_NODE", "node")


def inspect_port() -> int:
    """The usual one, or any where another process has it: a function may have several."""
    for port in (INSPECT_PORT, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return probe.getsockname()[1]
            except OSError:
                continue
    raise OSError("no port is free")


@cache
def node_version() -> str:
    """Such as "v24.1.0"."""
    return subprocess.run([node(), "--version"], capture_output=True, text=True, check=True).stdout.strip()


class ProcessExecutor(RuntimeExecutor):
    process: subprocess.Popen | None = None
    env: dict[str, str]

    @classmethod
    def prepare_version(cls, function_version):
        runtime, major = function_version.config.runtime, node_version().split(".")[0].removeprefix("v")
        if runtime != f"nodejs{major}.x":
            raise ValueError(f"only nodejs{major}.x can be run here, as the Node is {node_version()}; this is {runtime}")
        function_version.config.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version):
        pass  # the code stays: a version with another configuration may share it

    def start(self, env_vars):
        self.tmp = tempfile.mkdtemp(prefix="lambda-")
        # appended to by the process, read from its start and emptied by us
        self.log = tempfile.TemporaryFile()
        fcntl.fcntl(self.log, fcntl.F_SETFL, fcntl.fcntl(self.log, fcntl.F_GETFL) | os.O_APPEND)
        # endpoints of services that LocalStack doesn't have (AWS_ENDPOINT_URL_BATCH) pass through, and that no profile is read
        passed = {
            name: value
            for name, value in os.environ.items()
            if name.startswith("AWS_ENDPOINT_URL_") or name in ("PATH", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
        }
        told = {name: str(value) for name, value in env_vars.items() if not name.startswith(NOT_FOR_FUNCTIONS)}
        # of a proxy that stands between functions and LocalStack
        if "ACCRETE_FUNCTIONS_ENDPOINT" in os.environ:
            told["AWS_ENDPOINT_URL"] = os.environ["ACCRETE_FUNCTIONS_ENDPOINT"]
        code = str(self.function_version.config.code.get_unzipped_code_location())
        self.env = passed | {"HOME": self.tmp, "TMPDIR": self.tmp, "LANG": "en_US.UTF-8"} | told | {"LAMBDA_TASK_ROOT": code}
        # what goes wrong now goes wrong again in the first call, as on AWS, which tells of it
        self.cold = self._launch(INIT_SECONDS)

    @property
    def inspected(self):
        chosen = os.environ.get("ACCRETE_LAMBDA_INSPECT")
        return bool(chosen) and self.function_version.id.function_name.endswith(f"-{chosen}")

    def _inspect_options(self):
        if not self.inspected:
            return []
        address = f"127.0.0.1:{inspect_port()}"
        LOG.warning("%s waits for a debugger on %s", self.function_version.id.function_name, address)
        return [f"--inspect-wait={address}"]

    def _launch(self, seconds):
        """Starts the process. Returns its log, how long it took, and the error if it isn't ready."""
        self._end_process()
        self._take_log()
        began = time.monotonic()
        self.answers, answers = os.pipe()
        memory = int(self.function_version.config.memory_size)
        options = [f"--max-old-space-size={memory * 9 // 10}", f"--max-semi-space-size={max(1, memory // 20)}"]  # as Lambda's own
        try:
            # in LocalStack's process group: whoever ends that ends all
            self.process = subprocess.Popen(
                [node(), *options, *self._inspect_options(), RUNNER, str(answers)],
                cwd=self.env["LAMBDA_TASK_ROOT"],
                env=self.env,
                stdin=subprocess.PIPE,
                stdout=self.log,
                stderr=self.log,
                pass_fds=[answers],
            )
        finally:
            os.close(answers)
        answer = self._read(seconds)
        error = answer.get("error")
        duration = (time.monotonic() - began) * 1000
        if error is not None:
            self._end_process()
        text = init_text(self._take_log(), self.function_version.config.runtime, duration, error and error["errorType"])
        return {"text": text, "ms": duration, "error": error}

    def invoke(self, payload):
        timeout = self.function_version.config.timeout
        began = time.monotonic()
        before, init_ms = "", None
        if self.cold is not None:
            before, init_ms = self.cold["text"], self.cold["ms"] if self.cold["error"] is None else None
        self.cold = None
        answer = None
        if self.process is None or self.process.poll() is not None:  # it timed out, crashed, or never was ready: once more, as AWS does
            again = self._launch(timeout)
            before += again["text"]
            answer = again if again["error"] is not None else None
        call = Call(
            request_id=payload["invoke-id"],
            version=self.function_version.id.qualifier,
            memory_mb=int(self.function_version.config.memory_size),
            init_duration=init_ms,
        )
        if answer is None:
            answer = self._ask(payload, timeout - (time.monotonic() - began))
        call.duration = (time.monotonic() - began) * 1000
        call.max_memory_mb = answer.get("memoryMb")
        error = answer.get("error")
        body = json.dumps(error if error is not None else answer["result"], ensure_ascii=False).encode()
        if error is None and len(body) > ANSWER_BYTES_MAX:
            message = f"Response payload size exceeded maximum allowed payload size ({ANSWER_BYTES_MAX} bytes)."
            error = {"errorType": "Function.ResponseSizeTooLarge", "errorMessage": message}
            body = json.dumps(error).encode()
        last_words = ""
        if error is not None and error["errorType"] in ("Sandbox.Timedout", "Runtime.ExitError"):
            call.status = "timeout" if error["errorType"] == "Sandbox.Timedout" else "error"
            last_words = f"{now()} {call.request_id} {error['errorMessage'].removeprefix('Error: ')}"
            error["errorMessage"] = f"RequestId: {call.request_id} {error['errorMessage']}"
            body = json.dumps(error).encode()
        log = before + call.text(self._take_log(), last_words)
        return InvocationResult(call.request_id, body, error is not None, log)

    def _ask(self, payload, seconds):
        request = {
            "id": payload["invoke-id"],
            "arn": payload["invoked-function-arn"],
            "trace": payload["trace-id"],
            "event": payload["payload"],
            "milliseconds": (DEBUG_SECONDS if self.inspected else seconds) * 1000,
        }
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            pass  # it has ended: the answer says so
        return self._read(seconds)

    def _read(self, seconds):
        """The next line that the process answers; an error if it ends before, or isn't done in time."""
        end, line = time.monotonic() + (DEBUG_SECONDS if self.inspected else seconds), []
        while True:
            ready, _, _ = select.select([self.answers], [], [], max(0, end - time.monotonic()))
            if not ready:
                self._end_process()
                timeout = self.function_version.config.timeout
                return {"error": {"errorType": "Sandbox.Timedout", "errorMessage": f"Error: Task timed out after {timeout:.2f} seconds"}}
            part = os.read(self.answers, READ_BYTES)
            line.append(part)
            if part.endswith(b"\n"):
                return json.loads(b"".join(line))
            if not part:
                return {"error": {"errorType": "Runtime.ExitError", "errorMessage": f"Error: {exit_text(self.process.wait())}"}}

    def _take_log(self):
        text = os.pread(self.log.fileno(), os.fstat(self.log.fileno()).st_size, 0).decode(errors="replace")
        os.ftruncate(self.log.fileno(), 0)
        return text

    def _end_process(self):
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        os.close(self.answers)
        self.process = None

    def stop(self):
        self._end_process()
        shutil.rmtree(self.tmp, ignore_errors=True)

    def get_logs(self):
        return ""

    def get_address(self):
        return "127.0.0.1"

    def get_endpoint_from_executor(self):
        return "127.0.0.1"

    def get_runtime_endpoint(self):
        return f"http://127.0.0.1:{config.GATEWAY_LISTEN[0].port}"


def exit_text(code):
    if code == 0:
        return "Runtime exited without providing a reason"
    return "Runtime exited with error: " + (f"signal: {-code}" if code < 0 else f"exit status {code}")


def now():
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def log_group_name(self):
    """LocalStack's own is always the default one, whatever the function's LoggingConfig says."""
    configured = self.function_version.config.logging_config.get("LogGroup")
    return configured or f"/aws/lambda/{self.function_version.id.function_name}"


class ProcessExecutorPlugin(RuntimeExecutorPlugin):
    name = "process"

    def load(self, *args, **kwargs):
        ExecutionEnvironment.get_log_group_name = log_group_name
        return ProcessExecutor
