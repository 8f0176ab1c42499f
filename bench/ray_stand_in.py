"""A stand-in for Ray's dashboard where a real one gives up: the few paths that the driver uses, with answers of the
form that Ray 2.60 was recorded to give. What asks for GPUs waits for ever; everything else runs at once, as a process
of this machine. It shows what thousands of jobs cost the agent, and nothing about Ray.

`python -m bench.ray_stand_in` prints its port and serves until its standard input ends.
"""

import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_NODE = "cb1a97f9a7fa529fab84ef5d36df20bc67e7ccb76e44d287d26ec0e4"
_RESOURCES = {"CPU": 8.0, "GPU": 8.0, "memory": float(16 << 30), "narrow": 1.0}
_WAITS = (
    "Job has not started yet. It may be waiting for resources (CPUs, GPUs, memory, custom resources) to become "
    "available. It may be waiting for the runtime environment to be set up."
)


class Jobs:
    """What was submitted, by its name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, dict[str, Any]] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def submit(self, body: dict[str, Any]) -> tuple[int, Any]:
        name = body["submission_id"]
        with self._lock:
            if name in self._jobs:
                return 500, {"result": False, "msg": f"Job with submission_id {name} already exists."}
            self._jobs[name] = {
                "type": "SUBMISSION",
                "job_id": None,
                "submission_id": name,
                "driver_info": None,
                "status": "PENDING",
                "entrypoint": body["entrypoint"],
                "message": _WAITS,
                "error_type": None,
                "start_time": time.time_ns() // 1_000_000,
                "end_time": None,
                "metadata": body["metadata"],
                "runtime_env": {},
                "driver_agent_http_address": None,
                "driver_node_id": None,
                "driver_exit_code": None,
            }
            if not body.get("entrypoint_num_gpus"):
                self._running[name] = subprocess.Popen(["sh", "-c", body["entrypoint"]])
                self._jobs[name] |= {"status": "RUNNING", "message": "Job is currently running."}
                self._jobs[name]["driver_node_id"] = _NODE
        return 200, {"job_id": name, "submission_id": name}

    def listed(self) -> list[dict[str, Any]]:
        with self._lock:
            for name, process in list(self._running.items()):
                code = process.poll()
                if code is not None:
                    del self._running[name]
                    status = "FAILED" if code else "SUCCEEDED"
                    self._jobs[name] |= {
                        "status": status,
                        "driver_exit_code": code,
                        "message": "Job finished.",
                    }
            return list(self._jobs.values())

    def drop(self, name: str) -> tuple[int, Any]:
        with self._lock:
            return (200, {"deleted": True}) if self._jobs.pop(name, None) else (404, {"deleted": False})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    jobs = Jobs()

    def do_GET(self) -> None:
        if self.path.startswith("/api/jobs/"):
            self._send(200, self.jobs.listed())
        elif self.path.startswith("/api/v0/nodes"):
            node = {"node_id": _NODE, "state": "ALIVE", "resources_total": _RESOURCES}
            self._send(200, {"result": True, "data": {"result": {"total": 1, "result": [node]}}})
        else:
            self._send(200, {"result": True, "data": {"clusterStatus": None}})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        if self.path.endswith("/stop"):
            self._send(200, {"stopped": True})
        else:
            self._send(*self.jobs.submit(body))

    def do_DELETE(self) -> None:
        self._send(*self.jobs.drop(self.path.rpartition("/")[2]))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the name that it has there)
        """Quiet."""

    def _send(self, status: int, answer: Any) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def main() -> None:
    """Serve."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
