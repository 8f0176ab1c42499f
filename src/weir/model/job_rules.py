"""Rules over a job specification that its types cannot say, and what is not supported yet."""

import re
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from weir.model.job import Delivery, Input, JobSpecification, PreferenceWeights
from weir.model.problem import not_supported_yet, refused
from weir.units import format_duration, format_yuan, parse_time_ms

LARGEST_ARRAY = 1_000_000
LARGEST_GANG = 100_000
LARGEST_WEIGHT = 100_000
FASTEST = 1_000_000
LONGEST_TEXT = 131_072
"""Characters of one argument or environment value, as the kernel allows."""
LONGEST_WORD = 100
"""Characters of a budget's id or a purpose."""
JOB_OPTIONS = ("account", "qos", "partition", "constraint", "licenses")
"""What a job may choose of a site's own means, where the pool's entry lets it."""
STOP_SIGNALS = ("TERM", "INT", "HUP", "QUIT", "USR1", "USR2")
URL_SCHEMES = ("file", "http", "https", "s3")
"""By which an agent can fetch an input and deliver what a job makes, where its centre lets it."""
_URL = re.compile(
    r"(file:///|https?://[A-Za-z0-9.\[\]:-]+/|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/)[!-~]*[!-.0-~]"
)
_LONGEST_URL = 2_048
MOST_DELIVERIES = 100
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]*[A-Za-z0-9](@sha256:[0-9a-f]{64})?")
_LONGEST_IMAGE = 512
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def check_specification(specification: JobSpecification) -> None:
    """Raise ProblemError naming the first field that cannot be accepted; otherwise the job may be stored.

    Only what can be decided from the specification alone is looked at here.
    """
    _check_unsupported(specification)
    _check_command(specification)
    _check_size(specification)
    _check_paths(specification)
    _check_images(specification)
    _check_restarts(specification)
    _check_scores(specification)
    _check_deadline(specification)
    _check_money(specification)
    _check_options(specification)


def safe_relative_path(field: str, path: str) -> str:
    """The path, if it stays inside the folder that it is relative to. Raises ProblemError."""
    parts = PurePosixPath(path).parts
    if not path or path.startswith("/") or ".." in parts or "\0" in path or not parts or len(path) > 4_096:
        raise refused(field, path, "give a relative path that stays inside the job's folder, without '..'")
    return str(PurePosixPath(path))


def _check_unsupported(specification: JobSpecification) -> None:
    if specification.kind in ("session", "service"):
        raise not_supported_yet("kind", specification.kind)
    if specification.kind != "batch":
        raise refused("kind", specification.kind, "give batch")
    for field in ("secrets", "notify"):
        value = getattr(specification, field)
        if value not in ("", None, ()):
            raise not_supported_yet(field, value)


def _check_command(specification: JobSpecification) -> None:
    commands = [("command", specification.command)]
    commands += [
        (f"variants[{i}].command", v.command) for i, v in enumerate(specification.variants) if v.command
    ]
    if not specification.command and not (
        specification.variants and all(variant.command for variant in specification.variants)
    ):
        raise refused("command", "", "give the program and its arguments as a list")
    for field, command in commands:
        if command and not command[0]:
            raise refused(field, list(command), "the program's name is empty")
        for argument in command:
            if "\0" in argument or len(argument) > LONGEST_TEXT:
                raise refused(
                    field, argument, f"an argument has no NUL and at most {LONGEST_TEXT} characters"
                )
    environments = [("environment", specification.environment)]
    environments += [
        (f"variants[{i}].environment", v.environment) for i, v in enumerate(specification.variants)
    ]
    for field, environment in environments:
        for name, value in environment.items():
            if not _VARIABLE.fullmatch(name) or name.startswith("WEIR_"):
                raise refused(
                    f"{field}.{name}",
                    value,
                    "a variable's name has letters, digits and _, and no WEIR_ before",
                )
            if "\0" in value or len(value) > LONGEST_TEXT:
                raise refused(
                    f"{field}.{name}", value, f"a value has no NUL and at most {LONGEST_TEXT} characters"
                )


def _check_size(specification: JobSpecification) -> None:
    if specification.array is not None and not 1 <= specification.array <= LARGEST_ARRAY:
        raise refused("array", specification.array, f"give a number from 1 to {LARGEST_ARRAY}")
    if specification.tasks.most > LARGEST_GANG:
        raise refused("tasks", specification.tasks.most, f"give a number from 1 to {LARGEST_GANG}")
    devices = specification.devices
    if devices is None:
        return
    if devices.share is not None and not (1 <= devices.share <= 999 and devices.count == 1):
        raise refused(
            "devices.share", devices.share, "give thousandths of one device from 1 to 999, with no count"
        )
    if not 1 <= devices.count <= 1_024:
        raise refused("devices.count", devices.count, "give a number from 1 to 1024, or leave devices out")


def _check_paths(specification: JobSpecification) -> None:
    for index, entry in enumerate(specification.inputs):
        _check_input(f"inputs[{index}]", entry)
    for index, pattern in enumerate(specification.outputs):
        safe_relative_path(f"outputs[{index}]", pattern)
    if len(specification.deliver) > MOST_DELIVERIES:
        raise refused("deliver", len(specification.deliver), f"give at most {MOST_DELIVERIES} of them")
    for index, delivery in enumerate(specification.deliver):
        _check_delivery(f"deliver[{index}]", delivery)


def _check_input(field: str, entry: Input) -> None:
    if bool(entry.from_) == bool(entry.file):
        accepted = "give either file and digest, or file and url, or from and path"
        raise refused(field, entry.from_ or entry.file, accepted)
    if entry.url:
        _check_url(field, entry)
    elif entry.size is not None:
        raise refused(f"{field}.size", entry.size, "give it with a url alone")
    if entry.file:
        safe_relative_path(f"{field}.file", entry.file)
        if not _DIGEST.fullmatch(entry.digest) and not (entry.url and not entry.digest):
            raise refused(
                f"{field}.digest", entry.digest, "give the SHA-256 of the uploaded content in hexadecimal"
            )
    else:
        safe_relative_path(f"{field}.path", entry.path)
        if entry.to:
            safe_relative_path(f"{field}.to", entry.to)


def _check_images(specification: JobSpecification) -> None:
    fields = {"image": specification.image}
    fields |= {f"variants[{index}].image": each.image for index, each in enumerate(specification.variants)}
    for field, image in fields.items():
        if image and (len(image) > _LONGEST_IMAGE or not _IMAGE.fullmatch(image)):
            raise refused(field, image, "give an image such as registry.example.org/team/train:1.2")


def _check_url(field: str, entry: Input) -> None:
    if not entry.file:
        raise refused(f"{field}.url", entry.url, "with it give file, the place in the job's folder")
    if not is_url(entry.url):
        accepted = "give https://host/path, http://host/path, s3://bucket/key or file:///path, without a user, . or .."
        raise refused(f"{field}.url", entry.url, accepted)


def _check_delivery(field: str, delivery: Delivery) -> None:
    safe_relative_path(f"{field}.path", delivery.path)
    # A file's own name is put behind it.
    if not delivery.url.endswith("/") or "?" in delivery.url or not is_url(f"{delivery.url}x"):
        accepted = (
            "give https://host/path/, http://host/path/, s3://bucket/key/ or file:///path/, with the slash"
        )
        raise refused(f"{field}.url", delivery.url, f"{accepted} at its end, and without a user, . or ..")


def is_url(url: str) -> bool:
    """Whether an agent could fetch it: the forms of the schemes, nothing that climbs, no fragment."""
    names = unquote(url).split("/")[3:]
    if (
        not _URL.fullmatch(url)
        or len(url) > _LONGEST_URL
        or ".." in names
        or "." in names
        or (url.startswith(("file:", "s3:")) and "?" in url)
        or "#" in url
    ):
        return False
    try:
        _ = urlsplit(url).port
    except ValueError:
        return False
    return True


def _check_scores(specification: JobSpecification) -> None:
    if isinstance(specification.prefer, PreferenceWeights):
        for name in ("time", "money", "carbon"):
            weight = getattr(specification.prefer, name)
            if not 0 <= weight <= LARGEST_WEIGHT:
                raise refused(f"prefer.{name}", weight, f"give thousandths from 0 to {LARGEST_WEIGHT}")
    for index, variant in enumerate(specification.variants):
        if not 1 <= variant.speed <= FASTEST:
            raise refused(f"variants[{index}].speed", variant.speed, f"give thousandths from 1 to {FASTEST}")


def _check_deadline(specification: JobSpecification) -> None:
    deadline = specification.constraints.deadline
    if deadline:
        try:
            parse_time_ms(deadline)
        except ValueError:
            accepted = "give an instant with its offset, such as 2026-11-22T08:00+08:00, or leave it out"
            raise refused("constraints.deadline", deadline, accepted) from None


def _check_options(specification: JobSpecification) -> None:
    for name, value in specification.options.items():
        if name not in JOB_OPTIONS:
            raise refused(f"options.{name}", value, f"a job may choose {', '.join(JOB_OPTIONS)}")
        if not 1 <= len(value) <= LONGEST_WORD or not value.isprintable() or " " in value:
            raise refused(
                f"options.{name}", value, f"give 1 to {LONGEST_WORD} printable characters without spaces"
            )


def _check_money(specification: JobSpecification) -> None:
    if specification.max_price is not None and specification.max_price <= 0:
        given = format_yuan(specification.max_price)
        raise refused("max_price", given, "give an amount of more than 0, or leave it out")
    for field in ("budget", "purpose"):
        value: str = getattr(specification, field)
        if len(value) > LONGEST_WORD or not value.isprintable():
            raise refused(field, value, f"give at most {LONGEST_WORD} printable characters")


def _check_restarts(specification: JobSpecification) -> None:
    if specification.stop_signal not in STOP_SIGNALS:
        raise refused("stop_signal", specification.stop_signal, f"give one of {', '.join(STOP_SIGNALS)}")
    attempts = specification.max_attempts
    if attempts is not None and not 1 <= attempts <= 100:
        raise refused("max_attempts", attempts, "give a number from 1 to 100")
    if attempts is not None and attempts > 1 and not specification.restartable:
        raise refused("max_attempts", attempts, "more than one attempt needs restartable: true")
    _check_checkpoint(specification)


def _check_checkpoint(specification: JobSpecification) -> None:
    """What is saved is of use to a later attempt alone."""
    saves = specification.checkpoint
    if saves is None:
        return
    for name in ("every", "save", "restore"):
        value = getattr(saves, name)
        if value is not None and value < (1_000 if name == "every" else 0):
            raise refused(f"checkpoint.{name}", value, "give a time, such as 30m; every is 1s at least")
    if not specification.restartable:
        said = "only a later attempt can go on from what was saved; add restartable: true"
        raise refused("checkpoint", format_duration(saves.every), said)


__all__ = [
    "JOB_OPTIONS",
    "LARGEST_ARRAY",
    "LARGEST_GANG",
    "STOP_SIGNALS",
    "check_specification",
    "is_url",
    "safe_relative_path",
]
