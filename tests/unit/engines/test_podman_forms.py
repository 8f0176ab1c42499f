"""What podman is told, and what its answers mean. The answers are those of podman 4.3.1 with runc."""

import json

import pytest

from weir.engines.images import image_among
from weir.engines.local.podman import (
    Ended,
    Podman,
    container_name,
    create_command,
    device_arguments,
    image_problem,
    listed_command,
    parse_info,
    parse_state,
    podman_environment,
    reason_of,
    remove_command,
    start_failure,
)

ROOT = Podman("/usr/bin/podman", False, True, True, 0, 0)
HOST = {
    "cgroupControllers": ["cpuset", "cpu", "memory", "pids"],
    "ociRuntime": {"name": "runc"},
    "security": {"rootless": False},
    "serviceIsRemote": False,
}
STARTED = "unable to start container process"


def created(podman: Podman = ROOT, **changes: object) -> list[str]:
    given: dict[str, object] = {
        "attempt": "j.3-1",
        "task": 1,
        "image": "registry.example.org/train:1",
        "command": ("python", "-c", "print('a b')"),
        "environment": {"A": "two words\nand lines", "B": ""},
        "work": "/agents/attempts/j.3-1/work",
        "mounts": ("/agents/attempts/j.3-1/work",),
        "kept": "/agents/attempts/j.3-1/1.container",
        "label": "weir-0123",
        "memory_bytes": 1 << 30,
        "processes": 0,
        "cores": (),
        "devices": (),
        "limits": {"nofile": (1024, 20000)},
        **changes,
    }
    return create_command(podman, **given)  # type: ignore[arg-type] # each is what the form takes


@pytest.mark.parametrize(
    "image",
    [
        "train",
        "docker:24-dind",
        "localhost/train:1.2",
        "10.0.0.8:5000/team/train_it:V1",
        f"registry.example.org/team/train@sha256:{'0' * 64}",
    ],
)
def test_an_image_is_called_as_registries_call_it(image: str) -> None:
    assert image_problem(image) == ""


@pytest.mark.parametrize(
    "image",
    [
        "--privileged",
        "dir:/etc",
        "dir:keys",
        "oci:layout:1",
        "docker-archive:/root/a.tar",
        "docker://train",
        "a b",
        "",
    ],
)
def test_a_tenant_names_no_option_and_no_place_of_the_agents_machine(image: str) -> None:
    assert image_problem(image).startswith(image)
    assert "give" in image_problem(image)


def test_a_container_is_made_for_one_task_and_for_no_other() -> None:
    command = created()
    assert command[:3] == ["/usr/bin/podman", "create", "--pull=never"]
    assert f"--name={container_name('j.3-1', 1)}" in command
    assert container_name("j.3-1", 1) == "weir-j.3-1.1"
    assert "--label=weir.folder=weir-0123" in command
    assert command[-4:] == ["registry.example.org/train:1", "python", "-c", "print('a b')"]
    assert command[-5] == "--entrypoint=", "the job's command is the whole command"


def test_its_environment_and_its_user_are_the_tasks() -> None:
    command = created()
    assert "--env=A=two words\nand lines" in command
    assert "--env=B=" in command
    assert "--user=0:0" in command
    assert not any(one.startswith("--userns") for one in command)
    rootless = created(Podman("podman", True, True, False, 1000, 100))
    assert {"--userns=keep-id", "--user=1000:100"} <= set(rootless)


def test_it_is_bounded_where_podman_can() -> None:
    command = created(processes=64, cores=(2, 3))
    bounds = {"--memory=1073741824b", "--memory-swap=1073741824b", "--pids-limit=64", "--cpuset-cpus=2,3"}
    assert bounds | {"--ulimit=nofile=1024:20000"} <= set(command)
    assert "--pids-limit=-1" in created(), "any number, and not podman's own default"
    unlimited = created(Podman("podman", True, False, False, 1, 1), processes=64, cores=(2, 3))
    assert not bounds & set(unlimited)


def test_a_folder_with_any_name_is_mounted() -> None:
    assert "--mount=type=bind,source=/a b:c,destination=/a b:c" in created(mounts=("/a b:c",))
    quoted = '--mount=type=bind,"source=/a,""b""","destination=/a,""b"""'
    assert quoted in created(mounts=('/a,"b"',))


def test_devices_are_named_one_by_one_or_once() -> None:
    assert device_arguments(("nvidia.com/gpu={index}",), (2, 5)) == ["nvidia.com/gpu=2", "nvidia.com/gpu=5"]
    ascend = ("/dev/davinci{index}", "/dev/davinci_manager")
    assert device_arguments(ascend, (1, 2)) == ["/dev/davinci1", "/dev/davinci2", "/dev/davinci_manager"]
    assert device_arguments(ascend, ()) == []
    assert "--device=nvidia.com/gpu=2" in created(devices=["nvidia.com/gpu=2"])


def test_what_podman_says_of_itself() -> None:
    found = parse_info("podman", json.dumps({"host": HOST}), 7, 8)
    assert found == Podman("podman", False, True, True, 7, 8)
    few = HOST | {"cgroupControllers": ["cpu"], "security": {"rootless": True}}
    assert parse_info("podman", json.dumps({"host": few}), 7, 8) == Podman("podman", True, False, False, 7, 8)
    none = parse_info("podman", json.dumps({"host": HOST | {"cgroupControllers": None}}), 7, 8)
    assert isinstance(none, Podman)
    assert not none.limits


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "says of itself what cannot be read"),
        ("[]", "says of itself what cannot be read"),
        ('{"host": null}', "says of itself what cannot be read"),
        (json.dumps({"host": HOST | {"serviceIsRemote": True}}), "a podman elsewhere"),
        (json.dumps({"host": HOST | {"ociRuntime": {"name": ""}}}), "no runtime"),
    ],
)
def test_a_podman_that_is_of_no_use_says_why(text: str, why: str) -> None:
    found = parse_info("podman", text, 0, 0)
    assert isinstance(found, str)
    assert why in found


@pytest.mark.parametrize(
    ("state", "ended"),
    [
        ({"Status": "exited", "ExitCode": 0, "OOMKilled": False}, Ended(0, None, False)),
        ({"Status": "exited", "ExitCode": 3}, Ended(3, None, False)),
        ({"Status": "stopped", "ExitCode": 137, "OOMKilled": True}, Ended(None, 9, True)),
        ({"Status": "exited", "ExitCode": 143}, Ended(None, 15, False)),
        ({"Status": "exited", "ExitCode": 128}, Ended(128, None, False)),
        ({"Status": "exited", "ExitCode": 255}, Ended(255, None, False)),
    ],
)
def test_how_a_container_ended(state: dict[str, object], ended: Ended) -> None:
    assert parse_state(json.dumps(state)) == ended


def test_a_container_that_did_not_end_is_told_apart() -> None:
    assert (
        parse_state('{"Status": "created", "ExitCode": 0}')
        == "podman calls the container created, after its end"
    )
    assert parse_state("") == "podman does not say how the container ended"


@pytest.mark.parametrize(
    ("errors", "cause", "message"),
    [
        (
            "Error: i:1: image not known\n",
            "start",
            "image i:1 is not at this centre, which pulls none of that name",
        ),
        (
            f'Error: runc: runc create failed: {STARTED}: exec: "p": executable file not found in $PATH: OCI error',
            "start",
            "p: not found; give a program that is in the image",
        ),
        (
            "Error: crun: executable file `p` not found in $PATH: No such file or directory",
            "start",
            "p: not found",
        ),
        (
            f"Error: runc: {STARTED}: exec: ./p: permission denied: OCI permission denied",
            "start",
            "not executable",
        ),
        (
            f"{STARTED}: exec: p: executable file not found\nError: create failed (no logs from conmon): found nothing",
            "start",
            "p: not found",
        ),
        ("Error: crun: open executable: Permission denied: ./p", "start", "not executable"),
        ("Error: netavark: no route", "node-failed", "could not be started: netavark: no route"),
        ("", "node-failed", "podman does not say why"),
    ],
)
def test_why_a_container_did_not_start(errors: str, cause: str, message: str) -> None:
    program = "./p" if "./p" in errors else "p"
    assert start_failure(program, "i:1", errors)[0] == cause
    assert message in start_failure(program, "i:1", errors)[1]


def test_the_reason_is_the_last_of_what_is_nested() -> None:
    nested = "warning: of no use\nError: " + ": ".join(f"step {number} of the way" for number in range(30))
    assert reason_of(nested).endswith("step 29 of the way")
    assert len(reason_of(nested)) <= 160
    assert reason_of("x" * 500) == "x" * 160


def test_nothing_of_a_jobs_environment_reaches_podman() -> None:
    own = {"PATH": "/bin", "HOME": "/root", "LD_PRELOAD": "/evil.so", "WEIR_TOKEN": "secret"}
    assert podman_environment(own) == {"PATH": "/bin", "HOME": "/root"}


def test_containers_are_listed_by_their_agent_and_removed_by_name() -> None:
    assert listed_command("podman", "weir-0123")[2:] == [
        "--all",
        "--filter=label=weir.folder=weir-0123",
        "--format={{.Names}}",
    ]
    removed = ["podman", "rm", "--force", "--time=0", "--ignore", "weir-a-1.0"]
    assert remove_command("podman", ["weir-a-1.0"]) == removed


def test_which_images_are_among_the_named_ones() -> None:
    allowed = ("registry.example.org/team/", "docker.io/library/python")
    assert image_among(allowed, "registry.example.org/team/a/b:1")
    assert image_among(allowed, "docker.io/library/python:3.11")
    assert image_among(allowed, "docker.io/library/python@sha256:0")
    assert not image_among(allowed, "docker.io/library/python2:3")
    assert not image_among((), "docker.io/library/python")
    assert image_among(("*",), "anything")
